'use client';

import { useSyncExternalStore } from 'react';

/** Ids of all steps ever finished in this browser, by lesson. */
export type Progress = Readonly<Record<string, readonly string[]>>;

const key = 'progress';
const nothing: Progress = {};
const listeners = new Set<() => void>();
let last: { text: string | null; progress: Progress } = { text: null, progress: nothing };

const isProgress = (value: unknown): value is Progress =>
  typeof value === 'object' &&
  value !== null &&
  Object.values(value).every((steps) => Array.isArray(steps) && steps.every((id) => typeof id === 'string'));

/** Returns the same object until something is stored. */
function read(): Progress {
  let text: string | null = null;
  try {
    text = localStorage.getItem(key);
    if (text === last.text) return last.progress;
    const stored: unknown = JSON.parse(text ?? '{}');
    last = { text, progress: isProgress(stored) ? stored : nothing };
  } catch {
    // No storage, or an unknown value in it: no step is done.
    last = { text, progress: nothing };
  }
  return last.progress;
}

/** Stores finished steps. They stay finished when the session ends. */
export function noteDone(lessonId: string, stepIds: readonly string[]): void {
  const progress = read();
  const before = progress[lessonId] ?? [];
  const more = stepIds.filter((id) => !before.includes(id));
  if (more.length === 0) return;
  try {
    localStorage.setItem(key, JSON.stringify({ ...progress, [lessonId]: [...before, ...more] }));
  } catch {
    // The browser stores nothing (private mode), so the course page shows no progress.
  }
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  // Another tab.
  window.addEventListener('storage', listener);
  return () => {
    listeners.delete(listener);
    window.removeEventListener('storage', listener);
  };
}

export const useProgress = (): Progress => useSyncExternalStore(subscribe, read, () => nothing);
