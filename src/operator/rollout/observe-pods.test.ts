import type { Volume__Output } from '../../gen/px/v1/Volume.js';
import {
  currentRevision,
  observePod,
  type ControllerRevision,
  type DaemonPod,
} from './observe-pods.js';
import { replicasByNode } from './replica-sync.js';

const nowMs = Date.parse('2026-05-01T12:00:00Z');

function daemonPod(status: DaemonPod['status'], deleted = false): DaemonPod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: 'px-node-1',
      uid: 'u1',
      creationTimestamp: '2026-05-01T11:59:00Z',
      labels: { 'controller-revision-hash': 'abc' },
      ...(deleted ? { deletionTimestamp: '2026-05-01T12:00:00Z' } : {}),
    },
    ...(status === undefined ? {} : { status }),
  };
}

const waiting = (reason: string, message?: string) => ({
  containerStatuses: [
    { name: 'px-node', state: { waiting: { reason, ...(message ? { message } : {}) } } },
  ],
});

const crashed = (restartCount: number, startedAt: string, finishedAt: string) => ({
  containerStatuses: [
    {
      ...{ name: 'px-node', ready: false, restartCount, state: {} },
      lastState: { terminated: { exitCode: 1, startedAt, finishedAt } },
    },
  ],
});

it.each<[string, DaemonPod, object]>([
  [
    'ready for 30 s',
    daemonPod({
      conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: '2026-05-01T11:59:30Z' }],
    }),
    { revision: 'abc', ready: true, readyForMs: 30_000, ageMs: 60_000, terminating: false },
  ],
  ['no status yet', daemonPod(undefined), { ready: false, readyForMs: 0, trouble: undefined }],
  ['ending', daemonPod({}, true), { terminating: true }],
  [
    'a crash loop',
    daemonPod(waiting('CrashLoopBackOff', 'back-off 10s')),
    { trouble: 'container px-node: CrashLoopBackOff: back-off 10s' },
  ],
  [
    'an init container without its image',
    daemonPod({
      initContainerStatuses: [
        { name: 'prepare', state: { waiting: { reason: 'ImagePullBackOff' } } },
      ],
    }),
    { trouble: 'container prepare: ImagePullBackOff' },
  ],
  [
    'between two crashes',
    daemonPod(crashed(2, '2026-05-01T11:58:00Z', '2026-05-01T11:58:05Z')),
    { trouble: 'container px-node: ended with 1, restarted 2 times' },
  ],
  [
    'starting again after a long life',
    daemonPod(crashed(9, '2026-05-01T07:00:00Z', '2026-05-01T11:58:05Z')),
    { trouble: undefined },
  ],
  ['still creating', daemonPod(waiting('ContainerCreating')), { trouble: undefined }],
])('a pod that is %s', (_, pod, expected) => {
  expect(observePod(pod, nowMs)).toMatchObject(expected);
});

describe('the revision that pods should have', () => {
  const daemonSet = (observedGeneration: number) => ({
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { name: 'px-node', uid: 'ds', generation: 3 },
    status: { observedGeneration },
  });
  const revision = (number: number, hash: string, owner = 'ds'): ControllerRevision => ({
    apiVersion: 'apps/v1',
    kind: 'ControllerRevision',
    metadata: {
      name: `px-node-${hash}`,
      labels: { 'controller-revision-hash': hash },
      ownerReferences: [{ apiVersion: 'apps/v1', kind: 'DaemonSet', name: 'px-node', uid: owner }],
    },
    revision: number,
  });

  it('is the newest one of this DaemonSet', () => {
    const revisions = [
      revision(2, 'b'),
      revision(10, 'c'),
      revision(1, 'a'),
      revision(11, 'x', 'other'),
    ];
    expect(currentRevision(daemonSet(3), revisions)).toBe('c');
  });

  it('is unknown until the controller has seen the template', () => {
    expect(currentRevision(daemonSet(2), [revision(1, 'a')])).toBeUndefined();
    expect(currentRevision(daemonSet(3), [])).toBeUndefined();
  });
});

it('knows whose replicas are behind, and who shares volumes', () => {
  const volume = (name: string, status: string, replicas: readonly [string, string][]) =>
    ({
      name,
      status,
      replicas: replicas.map(([node_id, state]) => ({ node_id, state })),
    }) as unknown as Volume__Output;
  const nodes = replicasByNode([
    volume('db', 'degraded', [
      ['n1', 'in_sync'],
      ['n2', 'resync'],
    ]),
    volume('logs', 'up', [['n3', 'in_sync']]),
    volume('new', 'creating', [['n3', 'out']]),
  ]);
  expect(nodes.get('n1')).toEqual({ behind: [], neighbours: new Set(['n2']) });
  expect(nodes.get('n2')).toEqual({ behind: ['db'], neighbours: new Set(['n1']) });
  expect(nodes.get('n3')).toEqual({ behind: [], neighbours: new Set() });
});
