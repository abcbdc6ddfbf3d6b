/** Pastes into a terminal, and copies from a terminal's program to the clipboard. Both sides may be hostile. */

/** Longest text that a program may copy: room for a long file, too little to fill memory. */
export const maxProgramCopyBytes = 100 * 1024;

/** A program's OSC 52 request to copy a text to the clipboard. */
export type ProgramCopy = { text: string } | { tooLongBytes: number };

/**
 * Reads the payload of an OSC 52 sequence, `<selection>;<base64>`.
 * @returns null for anything but a text to copy, above all for a query of the clipboard's content
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
 * A text without escape characters, safe to paste. One escape sequence would end the bracketed paste, and the shell would run the rest
 * at once. Within the bracket, shells ignore the effects of other control characters.
 */

export const withoutEscapes = (text: string): string => text.replace(/[\x1b\x9b]/g, '');

/** How many lines a paste would run before anyone has read them: none if the program supports bracketed paste. */
export function linesEntered(text: string, bracketed: boolean): number {
  return bracketed ? 0 : (text.match(/\r\n|\r|\n/g)?.length ?? 0);
}
