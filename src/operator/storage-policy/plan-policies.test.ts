import type { StoragePolicyResource } from '../../crds/storage-policy.js';
import type { StoragePolicyStatus__Output } from '../../gen/px/v1/StoragePolicyStatus.js';
import { planPolicies } from './plan-policies.js';
import { desiredStatus, isWorthWriting } from './policy-status.js';

const gib = 1024 ** 3;

function resource(name: string, spec: object = {}, over: object = {}): StoragePolicyResource {
  return {
    apiVersion: 'core.libopenstorage.org/v1',
    kind: 'StoragePolicy',
    metadata: { name, generation: 1, creationTimestamp: '2026-01-01T00:00:00Z', ...over },
    spec,
  } as unknown as StoragePolicyResource;
}

const plain = {
  default: false,
  enforcement: 'Coerce',
  allowUpdate: false,
  volume: {},
  placement: {},
};

function known(
  name: string,
  policy: object = {},
  over: Partial<StoragePolicyStatus__Output> = {},
): StoragePolicyStatus__Output {
  return {
    name,
    policy_json: JSON.stringify({ ...plain, ...policy }),
    is_default: false,
    governed: 0,
    violations: [],
    changing: 0,
    waiting: 0,
    owner: 'kubernetes',
    ...over,
  };
}

/** The steps as short text: `+name` is put, `-name` is deleted. */
function steps(resources: StoragePolicyResource[], there: StoragePolicyStatus__Output[]): string[] {
  return planPolicies(resources, there).steps.map((step) =>
    step.do === 'put' ? `+${step.put.name}` : `-${step.name}`,
  );
}

describe('planPolicies', () => {
  test.each<[string, StoragePolicyResource[], StoragePolicyStatus__Output[], string[]]>([
    ['nothing', [], [], []],
    ['a new one', [resource('a')], [], ['+a']],
    ['one that is there', [resource('a')], [known('a')], []],
    [
      'the same in another order',
      [resource('a', { allowUpdate: true })],
      [
        known(
          'a',
          {},
          {
            policy_json: JSON.stringify({
              placement: {},
              volume: {},
              allowUpdate: true,
              enforcement: 'Coerce',
              default: false,
            }),
          },
        ),
      ],
      [],
    ],
    ['one that changed', [resource('a', { allowUpdate: true })], [known('a')], ['+a']],
    ["a person's of the same name", [resource('a')], [known('a', {}, { owner: '' })], ['+a']],
    ['one whose resource is gone', [], [known('a')], ['-a']],
    ["a person's", [], [known('a', {}, { owner: '' })], []],
    [
      'the default moves from one to the other',
      [resource('a'), resource('b', { default: true })],
      [known('a', { default: true }), known('b')],
      ['+a', '+b'],
    ],
    [
      'the default moves although the new one comes first by name',
      [resource('a', { default: true }), resource('b')],
      [known('b', { default: true })],
      ['+b', '+a'],
    ],
    [
      'the default goes and another one comes',
      [resource('b', { default: true })],
      [known('a', { default: true })],
      ['-a', '+b'],
    ],
    [
      'two defaults: the older one is first',
      [
        resource('a', { default: true }, { creationTimestamp: '2026-02-01T00:00:00Z' }),
        resource('b', { default: true }),
      ],
      [],
      ['+b', '+a'],
    ],
  ])('%s', (_what, resources, there, expected) => {
    expect(steps(resources, there)).toEqual(expected);
  });

  it('hands sizes over in bytes', () => {
    const size = { value: '10Gi', operator: 'Minimum' };
    const { steps: planned } = planPolicies([resource('a', { volume: { size } })], []);
    const [step] = planned;
    expect(step?.do === 'put' && JSON.parse(step.put.policyJson)).toEqual({
      ...plain,
      volume: { sizeBytes: { value: 10 * gib, operator: 'Minimum' } },
    });
  });

  it('goes on when one is wrong, and says which and why', () => {
    const bad = resource('bad', { volume: { size: { value: 'large', operator: 'Equal' } } });
    const plan = planPolicies([bad, resource('good')], [known('bad')]);
    expect(plan.steps).toHaveLength(1);
    expect(plan.wrong.get('bad')).toMatch(/size/);
  });
});

describe('desiredStatus', () => {
  const violation = (volume_name: string, rule: string) => ({
    volume_id: `id-${volume_name}`,
    volume_name,
    rule,
    message: 'm',
  });
  const told = known(
    'a',
    {},
    {
      governed: 3,
      changing: 1,
      violations: [violation('z', 'r1'), violation('b', 'r1'), violation('z', 'r2')],
    },
  );
  const timestamp = '2026-03-01T00:00:00Z';

  it('counts volumes, names them in order, and says how it is', () => {
    const status = desiredStatus({
      resource: resource('a'),
      px: told,
      problem: undefined,
      timestamp,
    });
    expect(status).toMatchObject({
      observedGeneration: 1,
      governed: 3,
      changing: 1,
      waiting: 0,
      violating: 2,
      lastReconcileTime: timestamp,
    });
    expect(status.violations?.map(({ volume, rule }) => `${volume} ${rule}`)).toEqual([
      'b r1',
      'z r1',
      'z r2',
    ]);
    expect(status.conditions?.map(({ type, status: is, reason }) => [type, is, reason])).toEqual([
      ['Applied', 'True', 'Applied'],
      ['Compliant', 'False', 'Changing'],
    ]);
  });

  it('says why px refused, and what it does not know', () => {
    const status = desiredStatus({
      ...{ resource: resource('a'), px: undefined, timestamp },
      problem: 'default: "b" is the default already',
    });
    expect(status.conditions).toMatchObject([
      { type: 'Applied', status: 'False', message: 'default: "b" is the default already' },
      { type: 'Compliant', status: 'Unknown' },
    ]);
  });

  it('keeps the time of what did not change, and is not written for its own time', () => {
    const first = desiredStatus({
      resource: resource('a'),
      px: told,
      problem: undefined,
      timestamp,
    });
    const later = '2026-03-01T00:05:00Z';
    const before = { ...resource('a'), status: first };
    const second = desiredStatus({
      resource: before,
      px: told,
      problem: undefined,
      timestamp: later,
    });
    expect(second.conditions).toEqual(first.conditions);
    expect(isWorthWriting(first, second)).toBe(false);
    expect(isWorthWriting(undefined, first)).toBe(true);
    expect(isWorthWriting(first, { ...second, governed: 4 })).toBe(true);
    expect(isWorthWriting(first, { ...second, lastReconcileTime: '2026-03-01T01:00:00Z' })).toBe(
      true,
    );
  });

  it('names at most a hundred violations and counts all', () => {
    const many = Array.from({ length: 150 }, (_, index) => violation(`v${index}`, 'r'));
    const px = known('a', {}, { governed: 150, violations: many });
    const status = desiredStatus({ resource: resource('a'), px, problem: undefined, timestamp });
    expect(status.violations).toHaveLength(100);
    expect(status.violating).toBe(150);
  });
});
