import { describe, expect, test } from 'vitest';
import { readVitestReport } from './run';

const passedTest = { status: 'passed', fullName: 'counts', failureMessages: [] };
const failedTest = {
  status: 'failed',
  fullName: 'counts backwards',
  failureMessages: ['\x1b[31mAssertionError: 3 is not 2\x1b[39m\n  at line 5'],
};
const report = (...files: { status: string; message?: string; assertionResults: unknown[] }[]) =>
  JSON.stringify({
    numPassedTests: 5,
    testResults: files.map((file) => ({ name: '/lab/server/count.test.ts', message: '', ...file })),
  });

describe('readVitestReport', () => {
  test('counts tests', () => {
    expect(readVitestReport(report({ status: 'passed', assertionResults: [passedTest] }), true)).toEqual({
      passed: 5,
      failures: [],
    });
  });

  test('names a failed test and its error', () => {
    const file = { status: 'failed', message: '', assertionResults: [passedTest, failedTest] };
    expect(readVitestReport(report(file), false)).toEqual({
      passed: 5,
      failures: ['count.test.ts, counts backwards: AssertionError: 3 is not 2'],
    });
  });

  test('counts a file that could not be loaded as one failure', () => {
    const file = { status: 'failed', message: 'Error: no such module\n  at', assertionResults: [] };
    expect(readVitestReport(report(file), false)).toEqual({
      passed: 5,
      failures: ['count.test.ts: Error: no such module'],
    });
  });

  test('counts a run that failed without a failed test as one failure', () => {
    const file = { status: 'passed', assertionResults: [passedTest] };
    expect(readVitestReport(report(file), false)).toEqual({
      passed: 5,
      failures: ['an error outside any test'],
    });
  });
});
