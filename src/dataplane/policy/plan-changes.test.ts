import type { VolumeRecord } from '../../kernel/volume-record.js';
import type { PlacementNode } from '../cluster/placement.js';
import { planChanges, type ChangePlan, type PlanInput } from './plan-changes.js';
import { revisionOf, type PolicyEntry } from './policy-entry.js';
import { governedBy, violationsOf } from './policy-status.js';
import { gib, testEntry, testRecord } from './testing-volumes.js';

/** Four nodes in two zones; n3 and n4 have a pool of class high as well. */
function node(id: string, zone: string, alive = true): PlacementNode {
  const space = { totalBytes: 100 * gib, availableBytes: 100 * gib, provisionedBytes: 0 };
  const pool = (className: 'high' | 'low') =>
    ({ id: `${id}-${className}`, class: className, state: 'online', ...space }) as const;
  const pools = ['n3', 'n4'].includes(id) ? [pool('low'), pool('high')] : [pool('low')];
  const place = { zone, region: 'r', rack: 'k', labels: { disk: id === 'n4' ? 'ssd' : 'hdd' } };
  return { id, name: id, alive, maintenance: false, ...place, pools };
}

const wish = {
  ...{ targetCount: 3, added: [], removing: [], blocked: '' },
  cause: 'asked' as const,
};

interface Given {
  readonly volumes: readonly VolumeRecord[];
  readonly policies?: readonly PolicyEntry[];
  readonly moving?: readonly string[];
  readonly resting?: readonly string[];
  readonly dead?: readonly string[];
}

function input({ volumes, policies = [], moving = [], resting = [], dead = [] }: Given): PlanInput {
  const nodes = [
    node('n1', 'za', !dead.includes('n1')),
    node('n2', 'zb', !dead.includes('n2')),
    node('n3', 'za', !dead.includes('n3')),
    node('n4', 'zb', !dead.includes('n4')),
  ];
  return {
    volumes: new Map(
      volumes.map((record) => [
        record.id,
        moving.includes(record.id) ? { ...record, replicaWish: wish } : record,
      ]),
    ),
    nodes: new Map(nodes.map((each) => [each.id, each])),
    policies: new Map(policies.map((entry) => [entry.name, entry])),
    placementNodes: () => nodes,
    resting: new Set(resting),
    maxAtOnce: 2,
  };
}

const plan = (given: Given): ChangePlan => planChanges(input(given));
const quiet = { records: [], replicas: [], changing: new Set(), waiting: new Set() };

const three = testEntry('three', {
  default: true,
  allowUpdate: true,
  volume: { replication: { value: 3, operator: 'Minimum' } },
});
const wishFor = (volumeId: string, count: number) => ({
  volumeId,
  count,
  addNodes: [],
  removeNodes: [],
});

describe('planChanges', () => {
  it('leaves volumes alone that no policy rules, that are right, or that may not be updated', () => {
    const volumes = [testRecord('a', ['n1'])];
    expect(plan({ volumes })).toEqual(quiet);
    const right = testRecord('b', ['n1'], {}, { policyApplied: revisionOf(three) });
    expect(plan({ volumes: [right], policies: [three] })).toEqual(quiet);
    const fixed = testEntry('three', { ...three.policy, allowUpdate: false });
    expect(plan({ volumes, policies: [fixed] })).toEqual(quiet);
    const snapshot = testRecord('c', ['n1'], {}, { readOnly: true });
    const half = testRecord('d', ['n1'], {}, { lifecycle: 'creating' });
    expect(plan({ volumes: [snapshot, half], policies: [three] })).toEqual(quiet);
  });

  it('changes the replicas of at most two volumes at once, in the order of ids', () => {
    const volumes = ['a', 'b', 'c', 'd'].map((id) => testRecord(id, ['n1']));
    const first = plan({ volumes, policies: [three] });
    expect(first.replicas).toEqual([wishFor('a', 3), wishFor('b', 3)]);
    expect([...first.waiting]).toEqual(['c', 'd']);
    const next = plan({ volumes, policies: [three], moving: ['a'] });
    expect(next.replicas).toEqual([wishFor('b', 3)]);
    expect([...next.changing].sort()).toEqual(['a', 'b']);
    const blocked = { ...wish, blocked: 'no room' };
    const [head, ...tail] = volumes;
    const unplaced = plan({
      volumes: [{ ...head, replicaWish: blocked }, ...tail],
      policies: [three],
    });
    expect(unplaced.replicas).toEqual([wishFor('b', 3), wishFor('c', 3)]);
    const stuck = plan({ volumes, policies: [three], resting: ['a', 'b'] });
    expect(stuck.replicas).toEqual([wishFor('c', 3), wishFor('d', 3)]);
    expect([...stuck.waiting].sort()).toEqual(['a', 'b']);
  });

  it('changes what is in the record at once, and notes when a volume is where it should be', () => {
    const rules = {
      sticky: true,
      labels: { tier: 'gold' },
      replication: three.policy.volume.replication,
    };
    const gold = testEntry('gold', { allowUpdate: true, volume: rules });
    const volume = testRecord('a', ['n1'], { storagePolicy: 'gold', labels: { x: 'y' } });
    const first = plan({ volumes: [volume], policies: [gold] });
    const [change] = first.records;
    expect(change).toMatchObject({
      volumeId: 'a',
      applied: undefined,
      spec: { sticky: true, labels: { tier: 'gold', x: 'y' }, replicas: 1 },
    });
    expect(first.replicas).toEqual([wishFor('a', 3)]);
    const done = testRecord('a', ['n1', 'n2', 'n3'], { ...change?.spec, replicas: 3 });
    expect(plan({ volumes: [done], policies: [gold] }).records).toEqual([
      { volumeId: 'a', spec: done.spec, applied: revisionOf(gold) },
    ]);
  });

  it('never changes a size: that is only told', () => {
    const large = testEntry('large', {
      ...{ default: true, allowUpdate: true },
      volume: { sizeBytes: { value: 10 * gib, operator: 'Minimum' } },
    });
    const given = { volumes: [testRecord('a', ['n1'])], policies: [large] };
    expect(plan(given).records).toMatchObject([{ applied: revisionOf(large) }]);
    expect(plan(given).replicas).toEqual([]);
    expect(violationsOf(input(given), large)).toEqual([
      {
        volumeId: 'a',
        volumeName: 'name-a',
        rule: 'volume.sizeBytes',
        message: `must be at least ${10 * gib} bytes, and is ${gib}`,
      },
    ]);
  });

  it('moves a volume that a person put into another class, one replica first', () => {
    const asked = testRecord('a', ['n1', 'n2'], { ioPriority: 'high' }, { policyApplied: 'asked' });
    expect(plan({ volumes: [asked] }).replicas).toEqual([
      { volumeId: 'a', count: 0, addNodes: ['n3'], removeNodes: ['n1'] },
    ]);
    const half = {
      ...asked,
      replicas: [
        { id: 'x', nodeId: 'n3', poolId: 'n3-high', state: 'in_sync' as const },
        { id: 'y', nodeId: 'n2', poolId: 'n2-low', state: 'in_sync' as const },
      ],
    };
    expect(plan({ volumes: [half] }).replicas).toEqual([
      { volumeId: 'a', count: 0, addNodes: ['n4'], removeNodes: ['n2'] },
    ]);
    // A node is away: nothing moves, and the wish is not forgotten for it.
    const waiting = plan({ volumes: [half], dead: ['n2'] });
    expect(waiting).toEqual({ ...quiet, waiting: new Set(['a']) });
  });

  it('moves replicas to where the rules want them, all of them when one is not enough', () => {
    const ssd = { key: 'disk', operator: 'In' as const, values: ['ssd'] };
    const fast = testEntry('fast', {
      ...{ default: true, allowUpdate: true },
      placement: { replicaAffinity: [{ enforcement: 'required', matchExpressions: [ssd] }] },
    });
    expect(plan({ volumes: [testRecord('a', ['n1'])], policies: [fast] }).replicas).toEqual([
      { volumeId: 'a', count: 0, addNodes: ['n4'], removeNodes: ['n1'] },
    ]);
    const together = testEntry('together', {
      ...{ default: true, allowUpdate: true },
      placement: { replicaAffinity: [{ enforcement: 'required', topologyKey: 'zone' }] },
    });
    const spread = testRecord('b', ['n1', 'n2']);
    expect(plan({ volumes: [spread], policies: [together] }).replicas).toEqual([
      { volumeId: 'b', count: 0, addNodes: ['n4'], removeNodes: ['n1'] },
    ]);
    // Two replicas can't both lie on the one node that has an ssd: told, and not tried for ever.
    const impossible = plan({ volumes: [spread], policies: [fast] });
    expect(impossible.replicas).toEqual([]);
    expect(impossible.records).toMatchObject([{ applied: revisionOf(fast) }]);
  });

  it('counts as governed what names the policy, and what names none for the default', () => {
    const volumes = [
      testRecord('a', ['n1']),
      testRecord('b', ['n1'], { storagePolicy: 'other' }),
      testRecord('c', ['n1'], { storagePolicy: 'gone' }),
      testRecord('d', ['n1'], {}, { readOnly: true }),
      testRecord('e', ['n1'], {}, { lifecycle: 'deleting' }),
    ];
    const cluster = input({ volumes, policies: [three, testEntry('other')] });
    expect(governedBy(cluster, 'three').map(({ id }) => id)).toEqual(['a']);
    expect(governedBy(cluster, 'other').map(({ id }) => id)).toEqual(['b']);
  });
});
