import {
  componentsCondition,
  daemonSetState,
  deploymentState,
  limited,
  phaseOf,
  storageNodesPerZone,
  versionOfPods,
  withoutAnyStorage,
  withTimes,
  type ComponentState,
  type PhaseInput,
} from './status.js';

const state = (name: string, ready: number, wanted = 3): ComponentState => ({
  ...{ name, wanted, ready, message: undefined },
});

const well = [state('px-node', 3), state('px-csi-node', 3), state('px-csi-controller', 2, 2)];

const cases: readonly [string, Partial<PhaseInput>, string, string][] = [
  ['all is well', {}, 'Running', ''],
  ['all is well again', { before: 'Degraded' }, 'Running', ''],
  [
    'the first pods start',
    { states: [state('px-node', 1)] },
    'Initializing',
    'px-node: 1 of 3 ready',
  ],
  [
    'a pod is away that was there',
    { before: 'Running', states: [state('px-node', 2)] },
    'Degraded',
    'px-node: 2 of 3 ready',
  ],
  [
    'one of two controllers serves',
    { before: 'Running', states: [state('px-node', 3), state('px-csi-controller', 1, 2)] },
    'Running',
    '',
  ],
  [
    'no controller serves',
    { before: 'Running', states: [state('px-node', 3), state('px-csi-controller', 0, 2)] },
    'Degraded',
    'px-csi-controller: 0 of 2 ready',
  ],
  ['no node at all', { states: [state('px-node', 0, 0)] }, 'Initializing', ''],
  [
    'a node of the data plane is not well',
    { before: 'Running', unwellNodes: ['node a is Offline'] },
    'Degraded',
    'node a is Offline',
  ],
  ['an object is refused', { blocking: ['Service x: no'] }, 'Initializing', 'Service x: no'],
];

it.each(cases)('%s', (_, more, phase, reason) => {
  const input = {
    ...{ before: undefined, states: well, blocking: [], problems: [], unwellNodes: [] },
    ...more,
  };
  expect(phaseOf(input)).toEqual({ phase, reason });
});

describe('what Kubernetes says of a component', () => {
  const meta = { apiVersion: 'apps/v1', kind: 'DaemonSet', metadata: { name: 'a', generation: 2 } };

  it('counts only once Kubernetes has seen the latest wish', () => {
    const status = { desiredNumberScheduled: 3, numberReady: 3, observedGeneration: 1 };
    expect(daemonSetState('a', { ...meta, status })).toMatchObject({ ready: 0, wanted: 3 });
    expect(
      daemonSetState('a', { ...meta, status: { ...status, observedGeneration: 2 } }),
    ).toMatchObject({ ready: 3, message: undefined });
  });

  it('tells why pods of a Deployment are refused', () => {
    const conditions = [{ type: 'ReplicaFailure', status: 'True', message: 'forbidden' }];
    const found = deploymentState('a', { ...meta, spec: { replicas: 2 }, status: { conditions } });
    expect(found).toEqual({ name: 'a', wanted: 2, ready: 0, message: 'forbidden' });
  });

  it('makes one condition of all of them', () => {
    expect(componentsCondition(well, [])).toMatchObject({ status: 'True' });
    expect(componentsCondition([state('px-node', 2)], ['pod x: ErrImagePull'])).toMatchObject({
      status: 'False',
      message: 'px-node: 2 of 3 ready; pod x: ErrImagePull',
    });
  });
});

it('moves the time of a condition only with its status', () => {
  const old = {
    type: 'A',
    status: 'True',
    message: 'one',
    lastTransitionTime: '2026-01-01T00:00:00Z',
  } as const;
  const now = '2026-02-02T00:00:00Z';
  const report = { source: 's', type: 'A' };
  expect(withTimes([old], [{ ...report, status: 'True', message: 'two' }], now)).toEqual([
    { ...report, status: 'True', message: 'two', lastTransitionTime: old.lastTransitionTime },
  ]);
  expect(withTimes([old], [{ ...report, status: 'False' }], now)[0]?.lastTransitionTime).toBe(now);
  expect(withTimes([], [{ ...report, status: 'True' }], now)[0]?.lastTransitionTime).toBe(now);
});

it('counts the storage nodes of the zone that has the fewest', () => {
  const node = (zone: string, pools: number) => ({ zone, pools: Array<object>(pools).fill({}) });
  expect(storageNodesPerZone([])).toBe(0);
  expect(storageNodesPerZone([node('a', 1), node('a', 2), node('b', 1)])).toBe(1);
  expect(storageNodesPerZone([node('a', 1), node('b', 0)])).toBe(0);
});

describe('the version', () => {
  const [old, new_] = ['openpx/px:1', 'openpx/px:2'];
  it.each<[string, string[], string | undefined, string | undefined]>([
    ['at the first start', [], undefined, undefined],
    ['as long as pods are lacking', [old, old], undefined, undefined],
    ['once all pods are there', [old, old, old], undefined, '1'],
    ['while a roll-out is under way', [new_, old, old], '1', '1'],
    ['while a pod is replaced', [new_, new_], '1', '1'],
    ['when the roll-out is done', [new_, new_, new_], '1', '2'],
    ['when a node has come meanwhile', [new_, new_, new_, new_], '2', '2'],
    ['while the first node is rolled back', [new_, old, old], '1', '1'],
  ])('%s', (_, images, before, expected) => {
    expect(versionOfPods(images, 3, before)).toBe(expected);
  });
});

describe('devices that no node has', () => {
  const node = (storage: boolean, online = true) => ({ storage, online });
  it.each<[string, string[], { storage: boolean; online: boolean }[], number]>([
    ['are said', ['/dev/sdx'], [node(false), node(false)], 1],
    ['are none when one node has some', ['/dev/sdx'], [node(false), node(true)], 0],
    [
      'are not known before every node has joined',
      ['/dev/sdx'],
      [node(false), node(false, false)],
      0,
    ],
    ['are not known before any node has', ['/dev/sdx'], [], 0],
    ['are none where none were named', [], [node(false)], 0],
  ])('%s', (_, devices, nodes, count) => {
    expect(withoutAnyStorage(devices, nodes)).toHaveLength(count);
  });
});

it('shortens what nobody reads to the end', () => {
  expect(limited(['a', 'b', 'c'], 2)).toBe('a; b; and 1 more');
  expect(limited(['a', 'b'], 2)).toBe('a; b');
});
