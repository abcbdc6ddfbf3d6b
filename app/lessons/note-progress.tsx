'use client';

import { useEffect } from 'react';
import { useLabSession, useSessionState } from '../workspace/session/context';
import { stepsOf } from '../workspace/session/selectors';
import { noteDone } from './progress';

/** Stores the finished steps for the course page. */
export function NoteProgress(): null {
  const { lesson } = useLabSession();
  const steps = useSessionState(stepsOf);
  useEffect(() => {
    const done = Object.entries(steps).flatMap(([id, { state }]) => (state === 'passed' ? [id] : []));
    noteDone(lesson.id, done);
  }, [lesson, steps]);
  return null;
}
