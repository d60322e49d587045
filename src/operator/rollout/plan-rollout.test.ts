import {
  planRollout,
  progressDeadlineMs,
  resolveMaxUnavailable,
  type RolloutInput,
  type RolloutNode,
  type RolloutPod,
} from './plan-rollout.js';

const hourMs = 3_600_000;
type Px = NonNullable<RolloutNode['px']>;

function pod(node: string, over: Partial<RolloutPod> = {}): RolloutPod {
  return {
    name: `px-node-${node}`,
    uid: `uid-${node}`,
    revision: 'old',
    ready: true,
    readyForMs: hourMs,
    ageMs: hourMs,
    terminating: false,
    trouble: undefined,
    ...over,
  };
}

interface Over extends Partial<Omit<RolloutNode, 'pod' | 'px'>> {
  readonly pod?: Partial<RolloutPod> | null;
  readonly px?: Partial<Px> | null;
}

function node(name: string, over: Over = {}): RolloutNode {
  const { pod: podOver, px: pxOver, ...rest } = over;
  return {
    name,
    kubeletReady: true,
    wantedConfigHash: 'hash',
    behind: [],
    neighbours: [],
    ...rest,
    pod: podOver === null ? undefined : pod(name, podOver),
    px:
      pxOver === null
        ? undefined
        : {
            id: `px-${name}`,
            state: 'operational',
            stateReason: '',
            configHash: 'hash',
            kvdbMember: false,
            ...pxOver,
          },
  };
}

function input(nodes: readonly RolloutNode[], over: Partial<RolloutInput> = {}): RolloutInput {
  return {
    nodes,
    revision: 'new',
    strategy: 'RollingUpdate',
    maxUnavailable: 1,
    minReadyMs: 0,
    pausedBy: undefined,
    ...over,
  };
}

const updated: Over = { pod: { revision: 'new' } };
const notReady = { ready: false, readyForMs: 0, ageMs: 20_000 };
const starting: Over = { pod: { revision: 'new', ...notReady } };

describe('who is replaced next', () => {
  it.each<[string, readonly RolloutNode[], Partial<RolloutInput>, string, readonly string[]]>([
    ['nothing is outdated', [node('a', updated), node('b', updated)], {}, 'UpToDate', []],
    ['all are outdated', [node('a'), node('b')], {}, 'Updating', ['a', 'b']],
    ['one is done', [node('a', updated), node('b')], {}, 'Updating', ['b']],
    ['the new one is starting', [node('a', starting), node('b')], {}, 'Waiting', []],
    [
      'the old one is ending',
      [node('a', { pod: { terminating: true } }), node('b')],
      {},
      'Waiting',
      [],
    ],
    ['its pod is not there yet', [node('a', { pod: null }), node('b')], {}, 'Waiting', []],
    [
      'px there is not back yet',
      [node('a', { ...updated, px: { state: 'offline' } }), node('b')],
      {},
      'Waiting',
      [],
    ],
    [
      'px there is back but degraded',
      [
        node('a', { ...updated, px: { state: 'degraded', stateReason: 'a drive fails' } }),
        node('b'),
      ],
      {},
      'Waiting',
      [],
    ],
    [
      'its replicas are not in sync again',
      [node('a', { ...updated, behind: ['db'] }), node('b')],
      {},
      'Waiting',
      [],
    ],
    [
      'what px says of it may be of the pod before',
      [node('a', { pod: { revision: 'new', readyForMs: 6_000 } }), node('b')],
      {},
      'Waiting',
      [],
    ],
    [
      'it was not ready for long enough',
      [node('a', { pod: { revision: 'new', readyForMs: 9_000 } }), node('b')],
      { minReadyMs: 10_000 },
      'Waiting',
      [],
    ],
    [
      'one that is not ready goes before the others',
      [node('a'), node('b', { pod: notReady, px: { state: 'offline' } })],
      {},
      'Updating',
      ['b'],
    ],
    [
      'two at once: one is starting, one more may go',
      [node('a', starting), node('b'), node('c')],
      { maxUnavailable: 2 },
      'Updating',
      ['b', 'c'],
    ],
    [
      'two at once, but not a neighbour of the one that is away',
      [node('a', starting), node('b', { neighbours: ['a'] }), node('c')],
      { maxUnavailable: 2 },
      'Updating',
      ['c'],
    ],
    [
      'two at once, but never two members of the key-value store',
      [
        node('a', { ...starting, px: { kvdbMember: true } }),
        node('b', { px: { kvdbMember: true } }),
        node('c'),
      ],
      { maxUnavailable: '50%' },
      'Updating',
      ['c'],
    ],
    [
      'members of the key-value store are last',
      [node('a', { px: { kvdbMember: true } }), node('b')],
      {},
      'Updating',
      ['b', 'a'],
    ],
    [
      'a node whose kubelet is down can end no pod',
      [node('a', { kubeletReady: false, pod: notReady, px: { state: 'offline' } }), node('b')],
      {},
      'Waiting',
      [],
    ],
    [
      'a node whose pod is ready while px does not answer stays',
      [node('a', { px: null })],
      {},
      'Waiting',
      [],
    ],
    ['the template is not processed yet', [node('a')], { revision: undefined }, 'Waiting', []],
    ['it is paused', [node('a')], { pausedBy: 'somebody' }, 'Paused', []],
    ['paused with nothing to do', [node('a', updated)], { pausedBy: 'somebody' }, 'UpToDate', []],
    ['the user deletes pods', [node('a')], { strategy: 'OnDelete' }, 'OnDelete', []],
    ['the first installation', [node('a', starting), node('b', starting)], {}, 'Starting', []],
  ])('%s', (_, nodes, over, reason, candidates) => {
    const plan = planRollout(input(nodes, over));
    expect(plan.reason).toBe(reason);
    expect(plan.candidates.map((one) => one.node)).toEqual(candidates);
  });

  it('asks px about each node, except one where px is down with its pod', () => {
    const down = { pod: notReady, px: { state: 'offline' } };
    const ask = (one: RolloutNode) => planRollout(input([one])).candidates[0]?.pxId;
    expect(ask(node('a'))).toBe('px-a');
    expect(ask(node('a', { pod: notReady }))).toBe('px-a');
    expect(ask(node('a', down))).toBeUndefined();
    expect(planRollout(input([node('a', down)])).candidates).toHaveLength(1);
  });
});

describe('a configuration that changed', () => {
  const changed: Over = { wantedConfigHash: 'other' };
  const current: Partial<RolloutInput> = { revision: 'old' };

  it('makes a pod outdated whose template is current', () => {
    const plan = planRollout(input([node('a', changed), node('b')], current));
    expect(plan.candidates.map((one) => one.node)).toEqual(['a']);
  });

  it('waits for a pod that has just become ready to publish what it runs with', () => {
    const fresh = node('a', { ...changed, pod: { readyForMs: 5_000 } });
    expect(planRollout(input([fresh], current))).toMatchObject({
      reason: 'Starting',
      candidates: [],
    });
  });

  it('does not replace a pod again and again that fails with it', () => {
    const failing = node('a', {
      ...changed,
      pod: { ...notReady, trouble: 'container px-node: CrashLoopBackOff' },
    });
    expect(planRollout(input([failing, node('b', changed)], current))).toMatchObject({
      reason: 'Failing',
      candidates: [],
    });
  });
});

describe('a roll-out that fails', () => {
  const trouble = 'container px-node: ImagePullBackOff: no such image';

  it('stops and says why', () => {
    const failing = node('a', { pod: { revision: 'new', ...notReady, trouble } });
    const plan = planRollout(input([failing, node('b'), node('c')], { maxUnavailable: 3 }));
    expect(plan).toEqual({
      reason: 'Failing',
      message: `2 of 3 nodes run an old px-node, and no more is replaced; a: ${trouble}`,
      candidates: [],
    });
  });

  it('counts a pod that is not ready within the deadline', () => {
    const slow = (ageMs: number) => node('a', { pod: { revision: 'new', ...notReady, ageMs } });
    const reason = (ageMs: number) => planRollout(input([slow(ageMs), node('b')])).reason;
    expect(reason(progressDeadlineMs)).toBe('Waiting');
    expect(reason(progressDeadlineMs + 1)).toBe('Failing');
  });

  it('goes on with the next template, the failing pod first', () => {
    const failing = node('b', {
      pod: { revision: 'new', ...notReady, trouble },
      px: { state: 'offline' },
    });
    const plan = planRollout(input([node('a'), failing], { revision: 'newer' }));
    expect(plan.candidates.map((one) => one.node)).toEqual(['b']);
  });
});

it.each([
  [1, 5, 1],
  [3, 5, 3],
  ['20%', 5, 1],
  ['50%', 5, 3],
  ['1%', 3, 1],
  ['100%', 3, 3],
  ['x', 3, 1],
])('maxUnavailable %s of %i nodes is %i', (value, nodes, expected) => {
  expect(resolveMaxUnavailable(value, nodes)).toBe(expected);
});
