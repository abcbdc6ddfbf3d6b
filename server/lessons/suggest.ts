import { closestMatch } from 'leven';

/**
 * Suggests what an author probably meant by an unknown word, or lists the choices.
 * Two edits cover a transposition or two typos. Words farther away are rarely what the author meant.
 */
export function suggest(word: string, known: readonly string[]): string {
  const closest = closestMatch(word, known, { maxDistance: 2 });
  return closest === undefined ? `Choose from: ${known.join(', ')}.` : `Did you mean \`${closest}\`?`;
}
