/** What the linter finds. */
export interface Finding {
  /** Path in the checkout. */
  file: string;
  /** 1-based. */
  line: number;
  /** A warning is to be mended as well, but not before the next commit. */
  level: 'error' | 'warning';
  /** What is wrong and what to do: whole sentences. */
  text: string;
}

/** In the order of files and lines, errors first. */
export const sortFindings = (findings: readonly Finding[]): Finding[] =>
  findings.toSorted(
    (one, other) =>
      one.file.localeCompare(other.file) || one.line - other.line || one.level.localeCompare(other.level),
  );

export const formatFinding = ({ file, line, level, text }: Finding): string =>
  `${file}:${line}: ${level}: ${text}`;
