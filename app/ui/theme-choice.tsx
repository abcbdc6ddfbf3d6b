'use client';

import { useId, type ReactElement } from 'react';
import { usePreference } from './preferences';
import './theme-choice.css';

const icons = {
  system: <path d="M3 4h14v9H3zM7 17h6M10 13v4" />,
  light: (
    <path d="M10 6.5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7zM10 1.5v2M10 16.5v2M1.5 10h2M16.5 10h2M4 4l1.4 1.4M14.6 14.6 16 16M4 16l1.4-1.4M14.6 5.4 16 4" />
  ),
  dark: <path d="M16.5 12A7 7 0 0 1 8 3.5 7 7 0 1 0 16.5 12z" />,
};

/** Lets the learner choose system, light or dark, and stores the choice. */
export function ThemeChoice(): ReactElement {
  const [theme, setTheme] = usePreference('theme');
  const group = useId();
  return (
    <fieldset className="theme-choice">
      <legend className="visually-hidden">Theme</legend>
      {(['system', 'light', 'dark'] as const).map((choice) => (
        <label key={choice} title={`Theme: ${choice}`}>
          <input
            type="radio"
            name={group}
            value={choice}
            checked={theme === choice}
            onChange={() => {
              setTheme(choice);
            }}
          />
          <svg viewBox="0 0 20 20" aria-hidden="true" className="icon">
            {icons[choice]}
          </svg>
          <span className="visually-hidden">{choice}</span>
        </label>
      ))}
    </fieldset>
  );
}
