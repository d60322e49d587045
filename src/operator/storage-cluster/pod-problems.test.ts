import type { Pod } from './kubernetes-types.js';
import { describeProblem, podProblems } from './pod-problems.js';

const pod = (status: Pod['status'], deletionTimestamp?: string): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name: 'px-node-a',
    labels: { 'app.kubernetes.io/component': 'node' },
    ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
  },
  spec: { nodeName: 'node-1' },
  status,
});

const container = (state: object, lastState: object = {}) => ({
  containerStatuses: [{ name: 'px-node', ready: false, restartCount: 1, state, lastState }],
});

it.each<[string, Pod, string[]]>([
  ['runs', pod(container({ running: {} })), []],
  ['is about to start', pod(container({ waiting: { reason: 'ContainerCreating' } })), []],
  ['has ended well', pod(container({ terminated: { exitCode: 0, reason: 'Completed' } })), []],
  ['is leaving', pod(container({ waiting: { reason: 'CrashLoopBackOff' } }), 'now'), []],
  [
    'has no image',
    pod(container({ waiting: { reason: 'ImagePullBackOff', message: 'no such image' } })),
    ['px-node-a on node-1: ImagePullBackOff (px-node: no such image)'],
  ],
  [
    'ends again and again',
    pod(
      container(
        { waiting: { reason: 'CrashLoopBackOff', message: 'back-off 10s' } },
        { terminated: { exitCode: 1, message: 'one\ntwo\n' } },
      ),
    ),
    ['px-node-a on node-1: CrashLoopBackOff (px-node: it ended with 1: two)'],
  ],
  [
    'has just ended',
    pod(container({ terminated: { exitCode: 137, reason: 'OOMKilled' } })),
    ['px-node-a on node-1: OOMKilled (px-node: it ended with 137)'],
  ],
  [
    'has no place',
    pod({
      conditions: [
        { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: 'no cpu' },
      ],
    }),
    ['px-node-a on node-1: Unschedulable (no cpu)'],
  ],
  [
    'was evicted',
    pod({ phase: 'Failed', reason: 'Evicted', message: 'disk pressure' }),
    ['px-node-a on node-1: Evicted (disk pressure)'],
  ],
])('a pod that %s', (_, one, expected) => {
  expect(podProblems([one]).map(describeProblem)).toEqual(expected);
});
