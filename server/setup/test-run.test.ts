import { describe, expect, it } from 'vitest';
import { readVitestReport } from './test-run';

const report = (passed: number, failed: number, files: [status: string, tests: number][] = []) =>
  JSON.stringify({
    numPassedTests: passed,
    numFailedTests: failed,
    testResults: files.map(([status, tests]) => ({ status, assertionResults: Array(tests).fill({}) })),
  });

describe('readVitestReport', () => {
  it('counts tests', () => {
    expect(readVitestReport(report(5, 0), true)).toEqual({ passed: 5, failed: 0 });
    expect(readVitestReport(report(5, 2, [['failed', 7]]), false)).toEqual({ passed: 5, failed: 2 });
  });

  it('counts a file that could not be loaded as one failure', () => {
    expect(readVitestReport(report(5, 0, [['failed', 0]]), false)).toEqual({ passed: 5, failed: 1 });
  });

  it('counts a run that failed without a failed test as one failure', () => {
    expect(readVitestReport(report(5, 0, [['passed', 5]]), false)).toEqual({ passed: 5, failed: 1 });
  });
});
