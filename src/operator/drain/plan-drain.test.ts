import { planDrain, progressOf, refusedProgress, type DrainInput } from './plan-drain.js';

type Px = NonNullable<DrainInput['px']>;

interface Over extends Partial<Omit<DrainInput, 'px'>> {
  readonly px?: Partial<Px> | null;
}

function input(over: Over = {}): DrainInput {
  const { px, ...rest } = over;
  return {
    annotations: {},
    before: undefined,
    labelled: false,
    kubeletReady: true,
    podThere: true,
    stopped: true,
    inUse: [],
    neededFor: undefined,
    ...rest,
    px:
      px === null
        ? undefined
        : {
            id: 'px-a',
            state: 'operational',
            maintenance: false,
            decommission: '',
            replicas: 3,
            ...px,
          },
  };
}

const decommission = { 'px.io/decommission': 'true' };
const drain = { 'px.io/drain-replicas': 'true' };
const moving = { decommission: { state: 'Moving', replicasLeft: 2 } } as const;
const done = { decommission: { state: 'Done', replicasLeft: 0 } } as const;
const ours = {
  conditions: [{ type: 'Maintenance', status: 'True' }],
} satisfies DrainInput['before'];
const move = (forget: boolean) => ({ kind: 'move', forget });
const exit = { kind: 'maintenance', enter: false };

it.each<[string, Over, readonly object[]]>([
  ['nobody wishes anything', {}, []],
  ['px does not know the node', { annotations: decommission, px: null }, []],

  [
    'maintenance is asked for',
    { annotations: { 'px.io/maintenance': 'true' } },
    [{ kind: 'maintenance', enter: true }],
  ],
  [
    'and has begun',
    { annotations: { 'px.io/maintenance': 'true' }, px: { maintenance: true } },
    [],
  ],
  [
    'the annotation was its reason and is gone',
    { before: ours, px: { maintenance: true } },
    [exit],
  ],
  ['a person entered it with pxctl', { px: { maintenance: true } }, []],
  [
    'the annotation says no',
    { annotations: { 'px.io/maintenance': 'false' }, px: { maintenance: true } },
    [exit],
  ],

  ['a drain begins', { annotations: drain }, [move(false)]],
  [
    'a drain goes on',
    { annotations: drain, before: moving, px: { decommission: 'moving' } },
    [move(false)],
  ],
  [
    'a drain is done',
    { annotations: drain, before: done, px: { decommission: 'done', replicas: 0 } },
    [],
  ],
  [
    'a replica came after the drain',
    { annotations: drain, before: done, px: { decommission: 'done', replicas: 1 } },
    [move(false)],
  ],
  [
    'a drain is taken back',
    { before: moving, px: { decommission: 'moving' } },
    [{ kind: 'cancel' }],
  ],
  ['a person drains it with pxctl', { px: { decommission: 'moving' } }, []],

  ['a decommission begins: replicas move first', { annotations: decommission }, [move(false)]],
  [
    'it is empty: px there must end',
    { annotations: decommission, before: done, px: { replicas: 0 } },
    [{ kind: 'label' }],
  ],
  [
    'its pod is ending',
    { annotations: decommission, before: done, labelled: true, px: { replicas: 0 } },
    [],
  ],
  [
    'its lease is not over yet',
    {
      annotations: decommission,
      before: done,
      labelled: true,
      podThere: false,
      px: { replicas: 0 },
    },
    [],
  ],
  [
    'px there has ended: it is forgotten',
    {
      annotations: decommission,
      before: done,
      labelled: true,
      podThere: false,
      px: { replicas: 0, state: 'offline' },
    },
    [move(true)],
  ],
  [
    'px there has ended, and what outlives it has not',
    {
      annotations: decommission,
      before: done,
      labelled: true,
      podThere: false,
      stopped: false,
      px: { replicas: 0, state: 'offline' },
    },
    [],
  ],
  [
    'its machine is dead: nobody there can end anything',
    {
      annotations: decommission,
      before: done,
      labelled: true,
      kubeletReady: false,
      stopped: false,
      px: { replicas: 0, state: 'offline' },
    },
    [move(true)],
  ],
  [
    'its machine is dead: what was in use there is fenced',
    {
      annotations: decommission,
      before: done,
      kubeletReady: false,
      inUse: ['volume db'],
      px: { replicas: 0, state: 'offline' },
    },
    [{ kind: 'label' }],
  ],
  [
    'it is empty, and volumes are in use there',
    { annotations: decommission, before: done, inUse: ['volume db'], px: { replicas: 0 } },
    [move(false)],
  ],
  [
    'its Kubernetes node is gone: there is nothing to label',
    {
      annotations: decommission,
      before: done,
      labelled: undefined,
      podThere: false,
      px: { replicas: 0, state: 'offline' },
    },
    [move(true)],
  ],
  [
    'it is empty, but a member of the key-value store that nobody could replace',
    { annotations: decommission, before: done, neededFor: 'a member', px: { replicas: 0 } },
    [move(false)],
  ],
  [
    'px refused to forget it before',
    {
      annotations: decommission,
      before: { decommission: { state: 'Refused' } },
      labelled: true,
      podThere: false,
      px: { replicas: 0, state: 'offline' },
    },
    [move(true)],
  ],
  [
    'it is taken back after the label',
    { before: done, labelled: true, px: { replicas: 0, decommission: 'done' } },
    [{ kind: 'cancel' }, { kind: 'unlabel' }],
  ],
  ['the label is older than the wish', { labelled: true, px: { replicas: 0 } }, []],
])('%s', (_, over, actions) => {
  expect(planDrain(input(over))).toEqual(actions);
});

describe('what the StorageNode shows', () => {
  const answer = (state: string, reasons: readonly string[] = []) => ({
    state,
    replicasLeft: state === 'done' ? 0 : 2,
    reasons,
  });

  it.each([
    ['moving', [], { state: 'Moving', replicasLeft: 2, message: '2 replicas are left' }],
    ['blocked', ['db: no space'], { state: 'Refused', replicasLeft: 2, message: 'db: no space' }],
    ['done', [], { state: 'Done', replicasLeft: 0, message: 'no replica is left' }],
  ])('px is %s', (state, reasons, expected) => {
    const progress = progressOf(input({ annotations: drain }), answer(state, reasons));
    expect(progress.decommission).toEqual(expected);
    expect(progress.conditions).toEqual([
      {
        type: 'Emptied',
        status: state === 'done' ? 'True' : 'False',
        reason: expected.state,
        message: expected.message,
      },
    ]);
  });

  it('refuses to let go of a member of the key-value store that nobody could replace', () => {
    const needed = input({ annotations: decommission, neededFor: 'it is a member' });
    expect(progressOf(needed, answer('done')).decommission).toEqual({
      ...{ state: 'Refused', replicasLeft: 0, message: 'it is a member' },
    });
  });

  it('names what is in use', () => {
    const used = input({ annotations: decommission, inUse: ['volume db (pod shop/db-0)'] });
    expect(progressOf(used, answer('done')).decommission).toEqual({
      ...{ state: 'Refused', replicasLeft: 0 },
      message:
        'in use there: volume db (pod shop/db-0). Drain the node ("kubectl drain"), and it goes on',
    });
  });

  it('keeps what was said while px was not asked again', () => {
    const before = {
      decommission: { state: 'Done', replicasLeft: 0, message: 'as before' },
    } as const;
    const progress = progressOf(input({ annotations: drain, before }), undefined);
    expect(progress.decommission).toEqual(before.decommission);
  });

  it('remembers what was begun while px is away, so that it can still be cancelled', () => {
    const progress = progressOf(input({ before: { ...moving, ...ours }, px: null }), undefined);
    expect(progress).toEqual({ decommission: moving.decommission, conditions: ours.conditions });
  });

  it('forgets it when it was taken back', () => {
    expect(progressOf(input({ before: moving }), undefined)).toEqual({
      decommission: undefined,
      conditions: [],
    });
  });

  it('says why px refuses', () => {
    expect(refusedProgress(input({ annotations: decommission }), 'no quorum')).toEqual({
      decommission: { state: 'Refused', replicasLeft: 3, message: 'no quorum' },
      conditions: [{ type: 'Emptied', status: 'False', reason: 'Refused', message: 'no quorum' }],
    });
    expect(refusedProgress(input({ before: moving }), 'no quorum').decommission).toEqual(
      moving.decommission,
    );
  });
});
