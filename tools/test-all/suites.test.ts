import { closingLine, fromClosingLine, fromJest, fromSimulation, sum } from './suites.js';

test("jest's report is counted, and a file that can't be loaded is a failure", () => {
  const report = {
    numPassedTests: 2,
    numFailedTests: 1,
    numPendingTests: 1,
    numRuntimeErrorTestSuites: 1,
    testResults: [
      {
        name: 'a.test.ts',
        message: '',
        assertionResults: [
          { fullName: 'works', status: 'passed' },
          { fullName: 'breaks', status: 'failed' },
          { fullName: 'mounts (needs root)', status: 'pending' },
        ],
      },
      { name: 'b.test.ts', message: 'Cannot find module', assertionResults: [] },
    ],
  };
  expect(fromJest(JSON.stringify(report))).toEqual({
    counts: { passed: 2, failed: 2, skipped: 1 },
    remarks: ['failed: breaks', 'skipped: mounts (needs root)', 'failed to run: b.test.ts'],
  });
});

test("ginkgo's and our own closing lines are read, colours and all", () => {
  const ginkgo =
    'Ran 85 of 95 Specs in 1.2 seconds\n\x1b[32mSUCCESS!\x1b[0m -- \x1b[32m85 Passed\x1b[0m | \x1b[31m0 Failed\x1b[0m | \x1b[33m1 Pending\x1b[0m | \x1b[36m9 Skipped\x1b[0m';
  expect(fromClosingLine(ginkgo)).toEqual({ passed: 85, failed: 0, skipped: 10 });
  expect(fromClosingLine('sim: 300 passed, 1 failed')).toEqual({
    passed: 300,
    failed: 1,
    skipped: 0,
  });
  expect(fromClosingLine('nothing')).toBeUndefined();
});

test('seeds and planted bugs of the simulation are counted', () => {
  const text = [
    '300 seeds from 1: 0 failed; 115 seeds/s; 27746 requests acknowledged',
    'seed 7: a read saw an old write',
    '50 seeds from 812: 1 failed; 100 seeds/s',
    'ack_before_cas: found by seed 3: acknowledged write lost',
    'stale_lease: NOT FOUND within 10 seeds',
  ].join('\n');
  expect(fromSimulation(text)).toEqual({ passed: 350, failed: 2, skipped: 0 });
  expect(fromSimulation('no seeds')).toBeUndefined();
});

test('the sum is said in the one line that CI reads', () => {
  const results = [
    { name: 'a', counts: { passed: 1, failed: 0, skipped: 2 }, seconds: 1, remarks: [] },
    { name: 'b', counts: { passed: 10, failed: 3, skipped: 0 }, seconds: 1, remarks: [] },
  ];
  expect(closingLine(sum(results))).toBe('Tests: 11 passed, 3 failed, 2 skipped');
});
