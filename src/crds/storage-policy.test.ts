import { storagePolicyOf, storagePolicySpec } from './storage-policy.js';

describe('storagePolicyOf', () => {
  test('an empty policy demands nothing', () => {
    expect(storagePolicyOf(storagePolicySpec.parse({}))).toEqual({
      default: false,
      enforcement: 'Coerce',
      allowUpdate: false,
      volume: {},
      placement: {},
    });
  });

  test('sizes become bytes, and the rest stays', () => {
    const spec = storagePolicySpec.parse({
      enforcement: 'Reject',
      volume: {
        size: { value: '100Gi', operator: 'Maximum' },
        replication: { value: 2 },
        labels: { team: 'a' },
      },
      placement: { replicaAntiAffinity: [{ topologyKey: 'zone' }] },
      snapshotSchedule: { daily: { time: '12:00', retain: 4 } },
    });
    expect(storagePolicyOf(spec)).toEqual({
      default: false,
      enforcement: 'Reject',
      allowUpdate: false,
      volume: {
        sizeBytes: { value: 100 * 2 ** 30, operator: 'Maximum' },
        replication: { value: 2, operator: 'Equal' },
        labels: { team: 'a' },
      },
      placement: { replicaAntiAffinity: [{ enforcement: 'required', topologyKey: 'zone' }] },
      snapshotSchedule: { daily: { time: '12:00', retain: 4 } },
    });
  });
});
