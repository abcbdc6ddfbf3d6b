/** Formats times and durations for the pages. */

const minuteMs = 60_000;

/** Formats a duration in minutes: `2 h 40 min`. */
export function spellDuration(ms: number): string {
  const minutes = Math.round(Math.max(0, ms) / minuteMs);
  const hours = Math.floor(minutes / 60);
  const parts = [hours > 0 && `${hours} h`, minutes % 60 > 0 && `${minutes % 60} min`];
  return parts.filter(Boolean).join(' ') || '0 min';
}

/** Formats the time left as minutes and seconds: `4:07`; never below `0:00`. */
export function countdown(ms: number): string {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}

/** Formats an expected wait, only as precisely as an estimate deserves. */
export function spellEstimate(ms: number): string {
  const minutes = Math.round(ms / minuteMs);
  if (minutes < 1) return 'less than a minute';
  return minutes < 90
    ? `about ${minutes} ${minutes === 1 ? 'minute' : 'minutes'}`
    : `about ${Math.round(minutes / 60)} hours`;
}

/** Formats a time of day in the browser's locale, as hours and minutes. */
export const timeOfDay = (unixMs: number): string =>
  new Date(unixMs).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });

/** Formats how long a command ran, more precisely if it is short: `40 ms`, `2.3 s`, `1 min 5 s`. */
export function spellRuntime(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 9_950) return `${(ms / 1_000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1_000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
