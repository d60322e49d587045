import type { NodeStatus__Output } from '../../gen/px/v1/NodeStatus.js';
import type { Volume__Output } from '../../gen/px/v1/Volume.js';
import { countByHealth, healthChanges, noteOf, volumesHealth, type Health } from './changes.js';

function volume(status: string, over: object = {}): Volume__Output {
  return {
    id: 'v1',
    name: 'db',
    status,
    status_reason: status === 'up' ? '' : 'n2 is away',
    read_only: false,
    parent_id: '',
    replicas: [{ pool_id: 'p1' }, { pool_id: 'p2' }],
    ...over,
  } as unknown as Volume__Output;
}

function node(poolState: string): NodeStatus__Output {
  return { name: 'n2', pools: [{ id: 'p2', state: poolState }] } as unknown as NodeStatus__Output;
}

it.each<[string, Volume__Output, string, readonly [Health, string][]]>([
  ['up', volume('up'), 'online', [['well', '']]],
  ['degraded', volume('degraded'), 'online', [['degraded', 'n2 is away']]],
  ['down', volume('down'), 'full', [['down', 'n2 is away']]],
  ['on a full pool', volume('up'), 'full', [['full', 'the pool of its replica on n2 is full']]],
  ['being made', volume('creating'), 'online', []],
  ['being deleted', volume('deleting'), 'online', []],
  ['a snapshot', volume('degraded', { read_only: true, parent_id: 'v0' }), 'online', []],
  ['a clone', volume('degraded', { parent_id: 'v0' }), 'online', [['degraded', 'n2 is away']]],
])('a volume that is %s', (_, one, pool, expected) => {
  const found = volumesHealth([one], [node(pool)]);
  expect(found.map(({ health, reason }) => [health, reason])).toEqual(expected);
});

it.each<[string, Health | undefined, Health, boolean]>([
  ['new and well', undefined, 'well', false],
  ['new and degraded', undefined, 'degraded', true],
  ['still well', 'well', 'well', false],
  ['still degraded', 'degraded', 'degraded', false],
  ['worse', 'degraded', 'down', true],
  ['better', 'down', 'degraded', true],
  ['well again', 'degraded', 'well', true],
])('%s', (_, before, health, isNews) => {
  const known = new Map(before === undefined ? [] : [['v1', before]]);
  const changes = healthChanges(known, [{ id: 'v1', name: 'db', health, reason: '' }]);
  expect(changes).toHaveLength(isNews ? 1 : 0);
});

it.each<[Health, string, string, RegExp]>([
  ['well', 'Normal', 'VolumeRecovered', /db is well again/],
  ['degraded', 'Warning', 'VolumeDegraded', /fewer replicas .*: n2 is away\.$/],
  ['full', 'Warning', 'VolumeOutOfSpace', /no more writes/],
  ['down', 'Warning', 'VolumeDown', /neither read nor written/],
])('says in words that a volume is %s', (health, type, reason, message) => {
  const found = noteOf({ id: 'v1', name: 'db', health, reason: 'n2 is away' });
  expect(found).toEqual({ type, reason, message: expect.stringMatching(message) as string });
});

it('counts volumes by health, also those of which there is none', () => {
  const volumes = ['well', 'down', 'well'].map((health) => ({
    ...{ id: 'v', name: 'v', reason: '' },
    health: health as Health,
  }));
  expect(countByHealth(volumes)).toEqual({ well: 2, degraded: 0, full: 0, down: 1 });
});
