/** A file that is on a host when the lesson begins. */
export interface LessonFile {
  /** Absolute, without characters that a shell interprets. */
  path: string;
  text: string;
  executable: boolean;
}

/** A shell script that creates the file and its parent folders. */
export function writeFileScript({ path, text, executable }: LessonFile): string {
  const lines = text.split('\n');
  let end = 'END_OF_FILE';
  while (lines.includes(end)) end += '_';
  return [
    `mkdir -p '${path.slice(0, path.lastIndexOf('/')) || '/'}'`,
    ...(text === '' ? [`: >'${path}'`] : [`cat >'${path}' <<'${end}'`, text, end]),
    // Sets the author's mode even if the file existed before.
    `chmod ${executable ? 755 : 644} '${path}'`,
  ].join('\n');
}
