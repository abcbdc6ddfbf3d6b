/** What goes into a terminal from the clipboard, and from a terminal's program onto it. Both ends may be hostile. */

/** Longest text that a program may put on the clipboard: a long file, not what fills a memory. */
export const maxProgramCopyBytes = 100 * 1024;

/** What a program asks for by OSC 52: to put a text on the clipboard. */
export type ProgramCopy = { text: string } | { tooLongBytes: number };

/**
 * Reads the payload of an OSC 52 sequence, `<selection>;<base64>`.
 * @returns null for everything that is not a text to be put on the clipboard; above all a question for what is on it
 */
export function readProgramCopy(payload: string): ProgramCopy | null {
  const at = payload.indexOf(';');
  const base64 = at < 0 ? '' : payload.slice(at + 1);
  if (base64 === '' || base64 === '?') return null;
  const bytes = Math.floor((base64.replace(/=+$/, '').length * 3) / 4);
  if (bytes > maxProgramCopyBytes) return { tooLongBytes: bytes };
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(
      Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)),
    );
    return text === '' ? null : { text };
  } catch {
    // Neither base64 nor text.
    return null;
  }
}

/**
 * A text as it may be pasted: without escape characters, of which one sequence would end the bracket around a bracketed paste and have
 * the rest run at once. What else a shell does on control characters it does not do within the bracket.
 */

export const withoutEscapes = (text: string): string => text.replace(/[\x1b\x9b]/g, '');

/** How many lines a paste would enter one by one, before anybody has read them: none if the program takes pastes as such. */
export function linesEntered(text: string, bracketed: boolean): number {
  return bracketed ? 0 : (text.match(/\r\n|\r|\n/g)?.length ?? 0);
}
