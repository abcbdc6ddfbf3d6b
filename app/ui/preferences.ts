'use client';

import '../../server/protocol/zod-without-eval';
import { useSyncExternalStore } from 'react';
import { z } from 'zod';

/** Text in this range is readable, and a command still fits on a phone. */
export const fontSizesPx = { least: 9, usual: 14, most: 28 } as const;

/** The learner's choices about the page. They are stored only in this browser. */
const preferences = {
  theme: z.enum(['system', 'light', 'dark']).catch('system'),
  screenReaderMode: z.boolean().catch(false),
  /** Font size in the terminals. */
  fontSizePx: z.number().int().min(fontSizesPx.least).max(fontSizesPx.most).catch(fontSizesPx.usual),
};
type Key = keyof typeof preferences;
type Preference<K extends Key> = z.infer<(typeof preferences)[K]>;

/**
 * Reads a stored value if it matches the schema. The storage may hold anything, written by another version of the page or by another
 * user of this browser.
 */
export function readStored<T>(key: string, schema: z.ZodType<T>): T | undefined {
  try {
    return schema.safeParse(JSON.parse(localStorage.getItem(key) ?? 'null')).data;
  } catch {
    return undefined;
  }
}

export function writeStored(key: string, value: unknown): void {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // The browser has no storage, for example in private mode: the choice is lost, but the page works.
  }
}

/** Storage of panel sizes for react-resizable-panels. `getItem` returns only valid records of numbers. */
export const panelStorage = {
  getItem: (key: string): string | null => {
    const sizes = readStored(key, z.record(z.string(), z.number().min(0).max(100)));
    return sizes === undefined ? null : JSON.stringify(sizes);
  },
  setItem: (key: string, value: string): void => {
    try {
      localStorage.setItem(key, value);
    } catch {
      // As in writeStored.
    }
  },
};

const listeners = new Set<() => void>();

export function readPreference<K extends Key>(key: K): Preference<K> {
  // readStored returns undefined without storage. Parsing undefined gives the schema's fallback.
  const schema: z.ZodType = preferences[key];
  return (readStored(key, schema) ?? schema.parse(undefined)) as Preference<K>;
}

function writePreference<K extends Key>(key: K, value: Preference<K>): void {
  writeStored(key, value);
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

export function usePreference<K extends Key>(key: K): [Preference<K>, (value: Preference<K>) => void] {
  const value = useSyncExternalStore(
    subscribe,
    () => readPreference(key),
    () => preferences[key].parse(undefined) as Preference<K>,
  );
  return [
    value,
    (next) => {
      writePreference(key, next);
    },
  ];
}

/** Steps the terminals' text size, within {@link fontSizesPx}. */
export function changeFontSize(change: 'larger' | 'smaller' | 'usual-size'): void {
  const before = readPreference('fontSizePx');
  const after = { larger: before + 1, smaller: before - 1, 'usual-size': fontSizesPx.usual }[change];
  writePreference('fontSizePx', Math.min(fontSizesPx.most, Math.max(fontSizesPx.least, after)));
}
