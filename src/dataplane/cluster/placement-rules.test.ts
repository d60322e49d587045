import fc from 'fast-check';
import type { PolicyPlacement } from '../../kernel/storage-policy.js';
import { placeReplicas, type PlacementNode } from './placement.js';
import {
  Neighbours,
  placementBreaches,
  preparePlacement,
  type NeighbourVolume,
} from './placement-rules.js';

const gib = 1024 ** 3;

function node(id: string, zone: string, labels: Record<string, string> = {}): PlacementNode {
  const pool = { id: `${id}-p`, class: 'medium' as const, state: 'online' as const };
  const space = { totalBytes: 100 * gib, availableBytes: 100 * gib, provisionedBytes: 0 };
  const place = { zone, region: 'r1', rack: `${zone}-k` };
  const health = { alive: true, maintenance: false };
  return { id, name: `name-${id}`, ...place, ...health, labels, pools: [{ ...pool, ...space }] };
}

interface Given {
  readonly nodes: readonly PlacementNode[];
  readonly replicas: number;
  readonly placement: PolicyPlacement;
  readonly labels?: Record<string, string>;
  readonly neighbours?: readonly NeighbourVolume[];
  readonly existing?: readonly string[];
  readonly preferred?: readonly string[];
}

function place({ nodes, replicas, placement, ...more }: Given): string[] {
  const { labels = {}, neighbours = [], existing = [], preferred = [] } = more;
  return placeReplicas(nodes, {
    sizeBytes: gib,
    spec: {
      ...{ replicas, ioPriority: 'medium', nodes: [], zones: [], racks: [], regions: [] },
      ...{ bestEffortLocation: false, group: '', groupEnforced: false },
    },
    preferredNodes: preferred,
    required: [],
    groupReplicas: {},
    existingNodes: existing,
    rules: preparePlacement(placement, { id: '', labels }, new Neighbours(neighbours), nodes),
  })
    .map(({ nodeId }) => nodeId)
    .sort();
}

/** Three zones: a1, a2, a3 in za; b1, b2 in zb; c1 in zc. a3 and b2 have fast disks. */
const six = [
  node('a1', 'za'),
  node('a2', 'za', { disk: 'hdd', speed: '10' }),
  node('a3', 'za', { disk: 'ssd', speed: '90' }),
  node('b1', 'zb', { disk: 'hdd' }),
  node('b2', 'zb', { disk: 'ssd', speed: '80' }),
  node('c1', 'zc'),
];

const stranger = { id: '', labels: {} };
const nobody = new Neighbours([]);
const required = { enforcement: 'required' as const };
const preferred = { enforcement: 'preferred' as const };
const ssd = { key: 'disk', operator: 'In' as const, values: ['ssd'] };
const db = { key: 'app', operator: 'In' as const, values: ['db'] };
const dbOn = (...nodeIds: string[]) => ({
  id: `on-${nodeIds.join('-')}`,
  labels: { app: 'db' },
  nodeIds,
});

describe('placement rules', () => {
  test.each<[string, Omit<Given, 'nodes'>, string[] | RegExp]>([
    [
      'nodes that match',
      { replicas: 2, placement: { replicaAffinity: [{ ...required, matchExpressions: [ssd] }] } },
      ['a3', 'b2'],
    ],
    [
      'too few nodes match',
      { replicas: 3, placement: { replicaAffinity: [{ ...required, matchExpressions: [ssd] }] } },
      /name-c1: its labels do not match \(placement\.replicaAffinity\[0\]\)/,
    ],
    [
      'nodes that do not match',
      {
        replicas: 2,
        placement: {
          replicaAntiAffinity: [
            { ...required, matchExpressions: [{ key: 'disk', operator: 'Exists' }] },
          ],
        },
      },
      ['a1', 'c1'],
    ],
    [
      'numbers',
      {
        replicas: 1,
        placement: {
          replicaAffinity: [
            { ...required, matchExpressions: [{ key: 'speed', operator: 'Gt', values: ['85'] }] },
          ],
        },
      },
      ['a3'],
    ],
    [
      'numbers',
      {
        replicas: 1,
        placement: {
          replicaAffinity: [
            { ...required, matchExpressions: [{ key: 'speed', operator: 'Lt', values: ['50'] }] },
          ],
        },
      },
      ['a2'],
    ],
    [
      'a zone by its name',
      {
        replicas: 1,
        placement: {
          replicaAffinity: [
            {
              ...required,
              matchExpressions: [
                { key: 'topology.kubernetes.io/zone', operator: 'NotIn', values: ['za', 'zb'] },
              ],
            },
          ],
        },
      },
      ['c1'],
    ],
    [
      'one zone, the only one with room',
      { replicas: 3, placement: { replicaAffinity: [{ ...required, topologyKey: 'zone' }] } },
      ['a1', 'a2', 'a3'],
    ],
    [
      'no zone has room',
      { replicas: 4, placement: { replicaAffinity: [{ ...required, topologyKey: 'zone' }] } },
      /3 can be placed.*name-b1: it is in another zone \(placement\.replicaAffinity\[0\]\)/,
    ],
    [
      'each in another zone',
      {
        replicas: 3,
        placement: {
          replicaAntiAffinity: [{ ...required, topologyKey: 'topology.kubernetes.io/zone' }],
        },
      },
      ['a1', 'b1', 'c1'],
    ],
    [
      'too few zones',
      { replicas: 4, placement: { replicaAntiAffinity: [{ ...required, topologyKey: 'zone' }] } },
      /3 can be placed.*holds a replica in the same zone/,
    ],
    [
      'beside one that is there',
      {
        replicas: 1,
        existing: ['b1'],
        placement: { replicaAffinity: [{ ...required, topologyKey: 'zone' }] },
      },
      ['b2'],
    ],
    [
      'preferred only',
      { replicas: 2, placement: { replicaAffinity: [{ ...preferred, topologyKey: 'zone' }] } },
      ['a1', 'a2'],
    ],
    [
      'preferred, impossible, done all the same',
      { replicas: 4, placement: { replicaAntiAffinity: [{ ...preferred, topologyKey: 'zone' }] } },
      ['a1', 'a2', 'b1', 'c1'],
    ],
    [
      'the heavier preference',
      {
        replicas: 1,
        placement: {
          replicaAffinity: [{ ...preferred, weight: 10, matchExpressions: [ssd] }],
          replicaAntiAffinity: [
            { ...preferred, weight: 20, matchExpressions: [{ key: 'speed', operator: 'Exists' }] },
          ],
        },
      },
      ['a1'],
    ],
    [
      "a preference before the pod's own node",
      {
        replicas: 1,
        preferred: ['c1'],
        placement: { replicaAffinity: [{ ...preferred, matchExpressions: [ssd] }] },
      },
      ['a3'],
    ],
    [
      'near volumes that match',
      {
        replicas: 1,
        neighbours: [dbOn('c1')],
        placement: { volumeAffinity: [{ ...required, matchExpressions: [db] }] },
      },
      ['c1'],
    ],
    [
      'in the zone of volumes that match',
      {
        replicas: 2,
        neighbours: [dbOn('b1')],
        placement: {
          volumeAffinity: [{ ...required, topologyKey: 'zone', matchExpressions: [db] }],
        },
      },
      ['b1', 'b2'],
    ],
    [
      'the first of its kind',
      {
        replicas: 1,
        labels: { app: 'db' },
        placement: { volumeAffinity: [{ ...required, matchExpressions: [db] }] },
      },
      ['a1'],
    ],
    [
      'nothing to be near to',
      { replicas: 1, placement: { volumeAffinity: [{ ...required, matchExpressions: [db] }] } },
      /no volume matches \(placement\.volumeAffinity\[0\]\)/,
    ],
    [
      'away from volumes that match',
      {
        replicas: 2,
        neighbours: [dbOn('a1'), dbOn('c1')],
        placement: {
          volumeAntiAffinity: [{ ...required, topologyKey: 'zone', matchExpressions: [db] }],
        },
      },
      ['b1', 'b2'],
    ],
    [
      'away from all is nowhere',
      {
        replicas: 1,
        neighbours: [dbOn('a1', 'b1', 'c1')],
        placement: {
          volumeAntiAffinity: [{ ...required, topologyKey: 'region', matchExpressions: [db] }],
        },
      },
      /a volume that matches lies in the same region/,
    ],
  ])('%s', (_what, given, expected) => {
    if (expected instanceof RegExp) expect(() => place({ ...given, nodes: six })).toThrow(expected);
    else expect(place({ ...given, nodes: six })).toEqual(expected);
  });

  it('puts replicas into different regions when a rule asks for it', () => {
    const regions = six.map((each) => ({ ...each, region: each.zone }));
    const apart = { replicaAntiAffinity: [{ ...required, topologyKey: 'region' }] };
    expect(place({ nodes: regions, replicas: 3, placement: apart })).toEqual(['a1', 'b1', 'c1']);
  });

  it('names what living volumes break', () => {
    const placement: PolicyPlacement = {
      replicaAffinity: [{ ...required, matchExpressions: [ssd] }],
      replicaAntiAffinity: [
        { ...required, topologyKey: 'zone' },
        { ...preferred, topologyKey: 'rack' },
      ],
    };
    const rules = preparePlacement(placement, stranger, nobody, six);
    const at = (...ids: string[]) => six.filter(({ id }) => ids.includes(id));
    expect(placementBreaches(rules, at('a3', 'b2'))).toEqual([]);
    expect(placementBreaches(rules, at('a1', 'a3')).map(({ rule }) => rule)).toEqual([
      'placement.replicaAffinity[0]',
      'placement.replicaAntiAffinity[0]',
    ]);
  });

  const seed = Number(process.env['PX_SEED'] ?? Date.now() % 2 ** 31);

  it(`breaks no required rule, and finds a placement where there is one (seed ${seed})`, () => {
    const letters = fc.constantFrom('x', 'y', 'z');
    const cluster = fc.array(fc.record({ zone: letters, disk: letters }), {
      minLength: 1,
      maxLength: 7,
    });
    const rule = fc.record(
      {
        enforcement: fc.constantFrom('required' as const, 'preferred' as const),
        topologyKey: fc.constantFrom('zone', 'rack', 'disk', 'node'),
        matchExpressions: fc.array(
          fc.record({
            key: fc.constantFrom('disk', 'zone'),
            operator: fc.constantFrom('In' as const, 'NotIn' as const),
            values: fc.array(letters, { minLength: 1, maxLength: 2 }),
          }),
          { maxLength: 1 },
        ),
      },
      { requiredKeys: ['enforcement'] },
    );
    const rulesOf = fc.array(rule, { maxLength: 2 });
    const placementOf = fc.record({ replicaAffinity: rulesOf, replicaAntiAffinity: rulesOf });
    const count = fc.integer({ min: 1, max: 4 });
    const property = fc.property(cluster, placementOf, count, (places, placement, replicas) => {
      const nodes = places.map(({ zone, disk }, index) => node(`n${index}`, zone, { disk }));
      const rules = preparePlacement(placement, stranger, nobody, nodes);
      const possible = subsets(nodes, replicas).some(
        (chosen) => placementBreaches(rules, chosen).length === 0,
      );
      if (!possible) {
        expect(() => place({ nodes, replicas, placement })).toThrow(/can be placed/);
        return;
      }
      const placed = place({ nodes, replicas, placement });
      const chosen = nodes.filter(({ id }) => placed.includes(id));
      expect(chosen).toHaveLength(replicas);
      expect(placementBreaches(rules, chosen)).toEqual([]);
      // The order in which the nodes are told decides nothing.
      expect(place({ nodes: [...nodes].reverse(), replicas, placement })).toEqual(placed);
    });
    fc.assert(property, { seed, numRuns: 400 });
  });
});

function subsets<T>(items: readonly T[], size: number): T[][] {
  if (size === 0) return [[]];
  return items.flatMap((item, index) =>
    subsets(items.slice(index + 1), size - 1).map((rest) => [item, ...rest]),
  );
}
