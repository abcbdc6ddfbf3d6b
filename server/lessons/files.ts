/** A file that is on a host when the lesson begins. */
export interface LessonFile {
  /** Absolute, without characters that a shell would read. */
  path: string;
  text: string;
  executable: boolean;
}

/** A shell script that writes the file, and the folders that it is in. */
export function writeFileScript({ path, text, executable }: LessonFile): string {
  const lines = text.split('\n');
  let end = 'END_OF_FILE';
  while (lines.includes(end)) end += '_';
  return [
    `mkdir -p '${path.slice(0, path.lastIndexOf('/')) || '/'}'`,
    ...(text === '' ? [`: >'${path}'`] : [`cat >'${path}' <<'${end}'`, text, end]),
    // The mode is the author's, not that of whatever was there before.
    `chmod ${executable ? 755 : 644} '${path}'`,
  ].join('\n');
}
