import type { DriveView, PoolView } from '../pool/contracts.js';
import { poolProblems, storesNothing } from './pool-problems.js';

const drive = (path: string, changes: Partial<DriveView> = {}) =>
  ({ path, state: 'refused', reason: 'why', absent: false, ...changes }) as DriveView;
const absent = (path: string) => drive(path, { absent: true });
const online = drive('/dev/b', { state: 'online', reason: '' });
const lost = drive('/dev/b', { state: 'offline' });
const pool = (state: PoolView['state']) => ({ id: 'p', state }) as PoolView;

const nothing = 'warning pools: it stores nothing: none of the named devices is here (/dev/b)';
const unusable = 'critical pools: no drive of this node can be used: it holds no replicas';
const refused = 'warning drive//dev/b: drive /dev/b is refused: why';

test.each<[string, readonly DriveView[], readonly PoolView[], boolean, readonly string[]]>([
  ['no device was named', [], [], true, []],
  ['all is well', [online], [pool('online')], true, []],
  ['none of the devices of all nodes is here', [absent('/dev/b')], [], true, [nothing]],
  ['none of its own devices is here', [absent('/dev/b')], [], false, [unusable, refused]],
  ['a device that is here is refused', [drive('/dev/b')], [], true, [unusable, refused]],
  [
    'one is here, another is not',
    [online, absent('/dev/c')],
    [pool('online')],
    true,
    ['warning drive//dev/c: drive /dev/c is refused: why'],
  ],
  [
    'a device with data has gone',
    [absent('/dev/b'), lost],
    [pool('offline')],
    true,
    [
      unusable,
      'warning pool/p: pool p is offline',
      refused,
      'warning drive//dev/b: drive /dev/b is offline: why',
    ],
  ],
])('%s', (_, drives, pools, devicesOptional, expected) => {
  const problems = poolProblems({ drives, pools }, devicesOptional);
  const text = problems.map(
    ({ severity, resource, message }) => `${severity} ${resource}: ${message}`,
  );
  expect(text).toEqual(expected);
});

test('a node that has lost its devices does not pass for one that never had any', () => {
  expect(storesNothing({ drives: [absent('/dev/b')] })).toBe(true);
  expect(storesNothing({ drives: [absent('/dev/b'), lost] })).toBe(false);
  expect(storesNothing({ drives: [] })).toBe(false);
});
