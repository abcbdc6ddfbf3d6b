import { closestMatch } from 'leven';

/**
 * Says what an author probably meant by an unknown word, or lists what there is.
 * Two edits make a transposition or two slips; words farther away are rarely what was meant.
 */
export function suggest(word: string, known: readonly string[]): string {
  const closest = closestMatch(word, known, { maxDistance: 2 });
  return closest === undefined ? `Choose from: ${known.join(', ')}.` : `Did you mean \`${closest}\`?`;
}
