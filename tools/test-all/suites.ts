/** Reading the closing words of each suite; pure, so that a wrong sum is found by a test. */
export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

export interface SuiteResult {
  readonly name: string;
  readonly counts: Counts;
  readonly seconds: number;
  /** One line each: what failed, and why something was skipped. */
  readonly remarks: readonly string[];
}

interface JestReport {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numRuntimeErrorTestSuites: number;
  readonly testResults: readonly {
    readonly name: string;
    readonly message: string;
    readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[];
  }[];
}

export function fromJest(text: string): { counts: Counts; remarks: string[] } {
  const report = JSON.parse(text) as JestReport;
  const remarks: string[] = [];
  for (const file of report.testResults) {
    for (const test of file.assertionResults) {
      if (test.status === 'failed') remarks.push(`failed: ${test.fullName}`);
      if (test.status === 'pending') remarks.push(`skipped: ${test.fullName}`);
    }
    if (file.assertionResults.length === 0 && file.message !== '') {
      remarks.push(`failed to run: ${file.name}`);
    }
  }
  return {
    counts: {
      passed: report.numPassedTests,
      // A file that can't even be loaded has no failed test, and is a failure all the same.
      failed: report.numFailedTests + report.numRuntimeErrorTestSuites,
      skipped: report.numPendingTests,
    },
    remarks,
  };
}

/** The last line `N passed, N failed(, N skipped)`, or ginkgo's, of a program's output. */
export function fromClosingLine(text: string): Counts | undefined {
  const plain = [...text.matchAll(/(\d+) passed, (\d+) failed(?:, (\d+) skipped)?/gi)].at(-1);
  if (plain !== undefined) {
    return { passed: Number(plain[1]), failed: Number(plain[2]), skipped: Number(plain[3] ?? 0) };
  }
  const ginkgo = [
    ...text.matchAll(/(\d+) Passed.*?\| .*?(\d+) Failed.*?(\d+) Pending.*?(\d+) Skipped/g),
  ].at(-1);
  if (ginkgo === undefined) return undefined;
  return {
    passed: Number(ginkgo[1]),
    failed: Number(ginkgo[2]),
    skipped: Number(ginkgo[3]) + Number(ginkgo[4]),
  };
}

/** The simulation: seeds run and failed, and planted bugs found or missed. */
export function fromSimulation(text: string): Counts | undefined {
  let passed = 0;
  let failed = 0;
  for (const [, ran, bad] of text.matchAll(/^(\d+) seeds from \d+: (\d+) failed/gm)) {
    passed += Number(ran) - Number(bad);
    failed += Number(bad);
  }
  passed += [...text.matchAll(/^\S+: found by seed /gm)].length;
  failed += [...text.matchAll(/^\S+: NOT FOUND /gm)].length;
  return passed + failed === 0 ? undefined : { passed, failed, skipped: 0 };
}

export function sum(results: readonly SuiteResult[]): Counts {
  return results.reduce(
    (total, { counts }) => ({
      passed: total.passed + counts.passed,
      failed: total.failed + counts.failed,
      skipped: total.skipped + counts.skipped,
    }),
    { passed: 0, failed: 0, skipped: 0 },
  );
}

export function closingLine(counts: Counts): string {
  return `Tests: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`;
}
