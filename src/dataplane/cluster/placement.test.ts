import fc from 'fast-check';
import { PxError } from '../../kernel/errors.js';
import { placeReplicas, type PlacementNode, type PlacementWish } from './placement.js';

const GiB = 1024 ** 3;

function node(id: string, changes: Partial<PlacementNode> = {}): PlacementNode {
  return {
    id,
    name: `name-${id}`,
    alive: true,
    maintenance: false,
    zone: 'z1',
    region: 'r1',
    rack: 'k1',
    labels: {},
    pools: [pool(`${id}-p`)],
    ...changes,
  };
}

function pool(id: string, changes: Partial<PlacementNode['pools'][number]> = {}) {
  return {
    id,
    class: 'medium' as const,
    state: 'online' as const,
    totalBytes: 100 * GiB,
    availableBytes: 100 * GiB,
    provisionedBytes: 0,
    ...changes,
  };
}

function wish(
  spec: Partial<PlacementWish['spec']> = {},
  changes: Partial<PlacementWish> = {},
): PlacementWish {
  return {
    sizeBytes: GiB,
    spec: {
      replicas: 1,
      ioPriority: 'medium',
      nodes: [],
      zones: [],
      racks: [],
      regions: [],
      bestEffortLocation: false,
      group: '',
      groupEnforced: false,
      ...spec,
    },
    preferredNodes: [],
    required: [],
    groupReplicas: {},
    existingNodes: [],
    ...changes,
  };
}

const idsOf = (placements: { nodeId: string }[]) => placements.map(({ nodeId }) => nodeId);

describe('placeReplicas', () => {
  const three = [
    node('a', { zone: 'z1' }),
    node('b', { zone: 'z1' }),
    node('c', { zone: 'z2' }),
    node('d', { zone: 'z3' }),
  ];

  it('uses distinct zones where there are enough, and distinct nodes always', () => {
    const zones = placeReplicas(three, wish({ replicas: 3 })).map(
      ({ nodeId }) => three.find((candidate) => candidate.id === nodeId)?.zone,
    );
    expect(new Set(zones).size).toBe(3);
    expect(new Set(idsOf(placeReplicas(three, wish({ replicas: 4 })))).size).toBe(4);
  });

  it('puts preferred nodes first, but not two replicas into one zone for it', () => {
    const placed = idsOf(
      placeReplicas(three, wish({ replicas: 2 }, { preferredNodes: ['name-b', 'a'] })),
    );
    expect(placed[0]).toBe('b');
    expect(placed).not.toContain('a');
  });

  it('says why each node was refused', () => {
    const nodes = [
      node('a', { alive: false }),
      node('b', { maintenance: true }),
      node('c', { pools: [pool('cp', { state: 'offline' })] }),
      node('d', { zone: 'z9' }),
      node('e', { pools: [] }),
    ];
    const attempt = () => placeReplicas(nodes, wish({ replicas: 2, zones: ['z1'] }));
    expect(attempt).toThrow(PxError);
    expect(attempt).toThrow(
      /name-a: it is down; name-b: it is in maintenance; name-c: pool cp is offline; name-d: its zone "z9" .*; name-e: it has no pool/,
    );
  });

  it('stays in one region unless regions are asked for', () => {
    const nodes = [node('a'), node('b', { region: 'r2' }), node('c', { region: 'r2' })];
    expect(idsOf(placeReplicas(nodes, wish({ replicas: 2 })))).toEqual(['b', 'c']);
    expect(() => placeReplicas(nodes, wish({ replicas: 3 }))).toThrow(/not in region/);
    expect(idsOf(placeReplicas(nodes, wish({ replicas: 3, regions: ['r1', 'r2'] })))).toHaveLength(
      3,
    );
  });

  it('meets the location as far as it can when that is enough', () => {
    const nodes = [node('a', { zone: 'z2' }), node('b')];
    expect(() => placeReplicas(nodes, wish({ replicas: 2, zones: ['z1'] }))).toThrow();
    const best = wish({ replicas: 2, zones: ['z1'], bestEffortLocation: true });
    expect(idsOf(placeReplicas(nodes, best))).toEqual(['b', 'a']);
  });

  it('takes the asked class, else the next lower one, then a higher one', () => {
    const nodes = [
      node('a', { pools: [pool('low', { class: 'low' }), pool('high', { class: 'high' })] }),
    ];
    const placed = (ioPriority: 'high' | 'medium' | 'low') =>
      placeReplicas(nodes, wish({ ioPriority }))[0]?.poolId;
    expect(placed('high')).toBe('high');
    expect(placed('medium')).toBe('low');
    expect(placed('low')).toBe('low');
  });

  it('spreads a group, strictly when enforced', () => {
    const nodes = [node('a'), node('b')];
    const groupReplicas = { a: 1 };
    expect(idsOf(placeReplicas(nodes, wish({ group: 'g' }, { groupReplicas })))).toEqual(['b']);
    const strict = wish({ group: 'g', groupEnforced: true, replicas: 2 }, { groupReplicas });
    expect(() => placeReplicas(nodes, strict)).toThrow(/holds a replica of group "g"/);
  });

  it('honours the required topology, by node, zone, rack and label', () => {
    const nodes = [node('a'), node('b', { labels: { disk: 'new' } }), node('c', { rack: 'k2' })];
    const required = (segments: Record<string, string>) =>
      idsOf(placeReplicas(nodes, wish({}, { required: [segments] })));
    expect(required({ disk: 'new' })).toEqual(['b']);
    expect(required({ rack: 'k2' })).toEqual(['c']);
    expect(required({ node: 'name-b' })).toEqual(['b']);
    expect(() => required({ zone: 'nowhere' })).toThrow(/outside the required topology/);
  });

  it('keeps its promises on any cluster', () => {
    const anyNode = fc.record({
      zone: fc.constantFrom('z1', 'z2', 'z3'),
      region: fc.constantFrom('r1', 'r2'),
      rack: fc.constantFrom('k1', 'k2'),
      alive: fc.boolean(),
      pools: fc.array(
        fc.record({
          class: fc.constantFrom('high' as const, 'medium' as const, 'low' as const),
          state: fc.constantFrom('online' as const, 'online' as const, 'full' as const),
          availableBytes: fc.integer({ min: 0, max: 100 }).map((share) => share * GiB),
          provisionedBytes: fc.integer({ min: 0, max: 1200 }).map((share) => share * GiB),
        }),
        { maxLength: 2 },
      ),
    });
    fc.assert(
      fc.property(
        fc.array(anyNode, { maxLength: 8 }),
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 50 }),
        fc.array(fc.constantFrom('z1', 'z2', 'z3'), { maxLength: 2 }),
        fc.integer(),
        (raw, replicas, sizeGiB, zones, turn) => {
          const nodes = raw.map(({ pools, ...rest }, index) =>
            node(`n${index}`, {
              ...rest,
              pools: pools.map((fields, at) => pool(`n${index}-p${at}`, fields)),
            }),
          );
          const asked = wish({ replicas, zones }, { sizeBytes: sizeGiB * GiB });
          const cut = nodes.length === 0 ? 0 : Math.abs(turn) % nodes.length;
          const turned = [...nodes.slice(cut), ...nodes.slice(0, cut)];
          let placed: ReturnType<typeof placeReplicas>;
          try {
            placed = placeReplicas(nodes, asked);
          } catch (error) {
            expect(error).toMatchObject({ code: 'resource_exhausted' });
            expect(() => placeReplicas(turned, asked)).toThrow((error as Error).message);
            return;
          }
          expect(placeReplicas(turned, asked)).toEqual(placed);
          expect(placed).toHaveLength(replicas);
          expect(new Set(idsOf(placed)).size).toBe(replicas);
          const used = placed.map(({ nodeId }) => nodes.find(({ id }) => id === nodeId));
          expect(new Set(used.map((one) => one?.region)).size).toBe(1);
          for (const [index, one] of used.entries()) {
            expect(one?.alive).toBe(true);
            if (zones.length > 0) expect(zones).toContain(one?.zone);
            const chosen = one?.pools.find(({ id }) => id === placed[index]?.poolId);
            expect(chosen?.state).toBe('online');
            expect(chosen?.availableBytes).toBeGreaterThan(0);
          }
        },
      ),
    );
  });
});
