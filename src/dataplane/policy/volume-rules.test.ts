import fc from 'fast-check';
import { PxError } from '../../kernel/errors.js';
import type { PolicyVolumeRules } from '../../kernel/storage-policy.js';
import type { VolumeSpecRecord } from '../../kernel/volume-record.js';
import { gib, testEntry, testSpec } from './testing-volumes.js';
import { breachesOf, coercedLabel, enforce } from './volume-rules.js';

const unlimited = { limitBytes: Infinity };
type Asked = { sizeBytes?: number } & Partial<VolumeSpecRecord>;

const volume = ({ sizeBytes = gib, ...spec }: Asked) => ({ sizeBytes, spec: testSpec(spec) });

describe('enforce', () => {
  test.each<[string, PolicyVolumeRules, Asked, Asked | 'as asked' | RegExp]>([
    ['at least', { replication: { value: 2, operator: 'Minimum' } }, {}, { replicas: 2 }],
    ['at least', { replication: { value: 2, operator: 'Minimum' } }, { replicas: 3 }, 'as asked'],
    [
      'at most',
      { replication: { value: 2, operator: 'Maximum' } },
      { replicas: 3 },
      { replicas: 2 },
    ],
    ['at most', { replication: { value: 2, operator: 'Maximum' } }, {}, 'as asked'],
    ['exactly', { replication: { value: 2, operator: 'Equal' } }, { replicas: 3 }, { replicas: 2 }],
    ['size', { sizeBytes: { value: 2 * gib, operator: 'Minimum' } }, {}, { sizeBytes: 2 * gib }],
    ['size', { sizeBytes: { value: 2 * gib, operator: 'Maximum' } }, {}, 'as asked'],
    [
      'whole blocks',
      { sizeBytes: { value: gib + 1, operator: 'Equal' } },
      {},
      { sizeBytes: gib + 4096 },
    ],
    [
      'never smaller',
      { sizeBytes: { value: gib, operator: 'Maximum' } },
      { sizeBytes: 2 * gib },
      /size_bytes: .*at most/,
    ],
    [
      'never smaller',
      { sizeBytes: { value: gib, operator: 'Equal' } },
      { sizeBytes: 2 * gib },
      /size_bytes: .*exactly/,
    ],
    ['class', { ioPriority: 'high' }, {}, { ioPriority: 'high' }],
    ['profile', { ioProfile: 'db' }, {}, { ioProfile: 'db' }],
    ['sticky', { sticky: true }, {}, { sticky: true }],
    ['not sticky', { sticky: false }, { sticky: true }, { sticky: false }],
    [
      'labels',
      { labels: { a: '1' } },
      { labels: { a: '2', b: '3' } },
      { labels: { a: '1', b: '3' } },
    ],
  ])('Coerce: %s %j of %j', (_what, rules, asked, expected) => {
    const act = () => enforce(testEntry('gold', { volume: rules }), volume(asked), unlimited);
    if (expected instanceof RegExp) {
      expect(act).toThrow(expected);
      return;
    }
    if (expected === 'as asked') {
      expect(act()).toEqual(volume(asked));
      return;
    }
    const { spec, sizeBytes } = act();
    const { [coercedLabel]: told, ...labels } = spec.labels;
    expect({ sizeBytes, spec: { ...spec, labels } }).toEqual(volume({ ...asked, ...expected }));
    expect(told).toMatch(/^gold: ./);
  });

  it('Reject names the field, the rule and the policy, and takes what keeps every rule', () => {
    const rules: PolicyVolumeRules = {
      replication: { value: 2, operator: 'Minimum' },
      labels: { tier: 'gold' },
    };
    const entry = testEntry('gold', { volume: rules, enforcement: 'Reject' });
    try {
      enforce(entry, volume({ labels: { tier: 'gold' } }), unlimited);
      throw new Error('accepted');
    } catch (error) {
      expect(error).toBeInstanceOf(PxError);
      expect(error).toMatchObject({
        code: 'invalid_argument',
        fields: { field: 'replicas', rule: 'volume.replication', policy: 'gold' },
        message:
          'replicas: storage policy "gold" (volume.replication): must be at least 2, and is 1',
      });
    }
    const good = volume({ replicas: 2, labels: { tier: 'gold' } });
    expect(enforce(entry, good, unlimited)).toEqual(good);
    expect(() => enforce(entry, volume({ replicas: 2 }), unlimited)).toThrow(/labels: .*missing/);
  });

  it('fills in what was left open, also when it rejects', () => {
    const replication = { value: 2, operator: 'Minimum' as const };
    const entry = testEntry('gold', { volume: { replication }, enforcement: 'Reject' });
    const open = new Set(['volume.replication']);
    expect(enforce(entry, volume({}), { limitBytes: Infinity, open }).spec.replicas).toBe(2);
  });

  it("does not make a volume larger than the caller's limit", () => {
    const entry = testEntry('big', {
      volume: { sizeBytes: { value: 4 * gib, operator: 'Minimum' } },
    });
    expect(() => enforce(entry, volume({}), { limitBytes: 2 * gib })).toThrow(
      /size_bytes: .*limit/,
    );
    expect(enforce(entry, volume({}), { limitBytes: 4 * gib }).sizeBytes).toBe(4 * gib);
  });

  const seed = Number(process.env['PX_SEED'] ?? Date.now() % 2 ** 31);

  it(`leaves nothing broken, never takes away space, and is stable (seed ${seed})`, () => {
    const operator = fc.constantFrom('Equal' as const, 'Minimum' as const, 'Maximum' as const);
    const words = { keys: fc.constantFrom('a', 'b', 'c'), values: fc.constantFrom('1', '2') };
    const labels = fc.dictionary(words.keys, words.values);
    const rules = fc.record(
      {
        replication: fc.record({ value: fc.integer({ min: 1, max: 5 }), operator }),
        sizeBytes: fc.record({ value: fc.integer({ min: 4096, max: 2 ** 40 }), operator }),
        ioPriority: fc.constantFrom('high' as const, 'medium' as const, 'low' as const),
        sticky: fc.boolean(),
        labels,
      },
      { requiredKeys: [] },
    );
    const asked = fc.record({
      sizeBytes: fc.integer({ min: 1, max: 2 ** 28 }).map((blocks) => blocks * 4096),
      replicas: fc.integer({ min: 1, max: 5 }),
      ioPriority: fc.constantFrom('high' as const, 'medium' as const, 'low' as const),
      sticky: fc.boolean(),
      labels,
    });
    const property = fc.property(rules, asked, (policyRules, wanted) => {
      const entry = testEntry('p', { volume: policyRules });
      const before = volume(wanted);
      const impossible = breachesOf(policyRules, before).some(({ remedy }) => remedy === undefined);
      if (impossible) {
        expect(() => enforce(entry, before, unlimited)).toThrow(/size_bytes: /);
        return;
      }
      const after = enforce(entry, before, unlimited);
      expect(breachesOf(policyRules, after)).toEqual([]);
      expect(after.sizeBytes).toBeGreaterThanOrEqual(before.sizeBytes);
      expect(enforce(entry, after, unlimited)).toEqual(after);
      if (breachesOf(policyRules, before).length === 0) expect(after).toEqual(before);
    });
    fc.assert(property, { seed, numRuns: 500 });
  });
});
