import { conformanceDocument, missingFrom } from './conformance.js';
import type { SpecResult } from './suite-report.js';

const spec = (name: string, outcome: SpecResult['outcome']): SpecResult => ({
  name,
  outcome,
  message: outcome === 'skipped' ? 'driver has no such thing' : '',
  seconds: 1,
});
const listed = [
  spec('[Testpattern: A (default fs)] volumes  should store data', 'passed'),
  spec('[Testpattern: A] reads | and writes <all>', 'passed'),
  spec('[Testpattern: B] topology', 'skipped'),
];
const document = conformanceDocument('v1.35.4', listed);
const names = listed.map(({ name }) => name);
/** Some names of the suite have two spaces, and a formatter leaves one. */
const firstListed = '[Testpattern: A (default fs)] volumes should store data';

test.each<[string, string, readonly SpecResult[], readonly string[]]>([
  ['all of them', 'v1.35.4', listed, []],
  ['more', 'v1.35.4', [...listed, spec('[Testpattern: C] new', 'passed')], []],
  ['one less', 'v1.35.4', listed.slice(1), [firstListed]],
  [
    'one that failed',
    'v1.35.4',
    [spec(names[0] ?? '', 'failed'), ...listed.slice(1)],
    [firstListed],
  ],
  [
    'one that was skipped',
    'v1.35.4',
    [spec(names[0] ?? '', 'skipped'), ...listed.slice(1)],
    [firstListed],
  ],
  ['one that applies now', 'v1.35.4', [...listed.slice(0, 2), spec(names[2] ?? '', 'passed')], []],
  [
    'none',
    'v1.35.4',
    [],
    [firstListed, '[Testpattern: A] reads \\| and writes &lt;all>', names[2] ?? ''],
  ],
  ['another Kubernetes', 'v1.29.15', [], []],
])('a run with %s is held against the list', (_, version, specs, missing) => {
  expect(missingFrom(document, version, specs)).toEqual(missing);
});

test('the list is read as a formatter leaves it', () => {
  const formatted = document
    .replace('| Spec | Result |', '| Spec     | Result   |')
    .replace(/^(\| \[.*) \| passed \|$/gm, '$1        | passed     |');
  expect(formatted).not.toBe(document);
  expect(missingFrom(formatted, 'v1.35.4', [])).toHaveLength(3);
});
