/** A problem that the parser or the linter finds in a file. */
export interface Diagnostic {
  /** Path in the checkout. */
  file: string;
  /** 1-based. */
  line: number;
  /** A warning needs fixing too, but it does not fail `lint` without `--strict`. */
  level: 'error' | 'warning';
  /** What is wrong and what to do, in whole sentences. */
  message: string;
}

/** A diagnostic of a text whose position in its file only the caller knows. */
export type TextDiagnostic = Pick<Diagnostic, 'line' | 'message'>;

/** Reports a diagnostic of the current file; `level` is `error` by default. */
export type ReportDiagnostic = (line: number, message: string, level?: Diagnostic['level']) => void;

/** @returns a function that appends its diagnostics of one file to a list */
export const diagnosticsInto =
  (diagnostics: Diagnostic[], file: string): ReportDiagnostic =>
  (line, message, level = 'error') => {
    diagnostics.push({ file, line, level, message });
  };

/** By file, then by line, then errors before warnings. */
export const sortDiagnostics = (diagnostics: readonly Diagnostic[]): Diagnostic[] =>
  diagnostics.toSorted(
    (one, other) =>
      one.file.localeCompare(other.file) || one.line - other.line || one.level.localeCompare(other.level),
  );

/** One line in the form that editors recognise: `file:line: level: message`. */
export const formatDiagnostic = ({ file, line, level, message }: Diagnostic): string =>
  `${file}:${line}: ${level}: ${message}`;
