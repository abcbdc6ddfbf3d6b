'use client';

import { useSyncExternalStore } from 'react';

/** What a learner chose about the page itself; kept by the browser, never sent. */
export interface Preferences {
  theme: 'system' | 'light' | 'dark';
  screenReaderMode: boolean;
}

const defaults: Preferences = { theme: 'system', screenReaderMode: false };
const listeners = new Set<() => void>();

/** The stored preference, or its default when nothing (or nothing readable) is stored. */
function read<K extends keyof Preferences>(key: K): Preferences[K] {
  try {
    const stored: unknown = JSON.parse(localStorage.getItem(key) ?? 'null');
    return typeof stored === typeof defaults[key] ? (stored as Preferences[K]) : defaults[key];
  } catch {
    return defaults[key];
  }
}

function write<K extends keyof Preferences>(key: K, value: Preferences[K]): void {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // A browser that keeps nothing (private mode): the choice is not kept, the page works.
  }
  if (key === 'theme') {
    if (value === 'system') delete document.documentElement.dataset['theme'];
    else document.documentElement.dataset['theme'] = String(value);
  }
  for (const listener of listeners) listener();
}

const subscribe = (listener: () => void): (() => void) => {
  listeners.add(listener);
  return () => listeners.delete(listener);
};

export function usePreference<K extends keyof Preferences>(
  key: K,
): [Preferences[K], (value: Preferences[K]) => void] {
  const value = useSyncExternalStore(
    subscribe,
    () => read(key),
    () => defaults[key],
  );
  return [
    value,
    (next) => {
      write(key, next);
    },
  ];
}
