import { PxError } from '../../kernel/errors.js';
import { checkPolicyName, parsePolicy } from './parse-policy.js';

function refusal(policy: unknown): PxError {
  try {
    parsePolicy(typeof policy === 'string' ? policy : JSON.stringify(policy));
  } catch (error) {
    if (error instanceof PxError) return error;
    throw error;
  }
  throw new Error('the policy was accepted');
}

describe('parsePolicy', () => {
  it('fills in what is not said', () => {
    expect(parsePolicy('{}')).toEqual({
      default: false,
      enforcement: 'Coerce',
      allowUpdate: false,
      volume: {},
      placement: {},
    });
    const volume = { replication: { value: 2 }, sizeBytes: { value: 4096, operator: 'Maximum' } };
    expect(parsePolicy(JSON.stringify({ volume })).volume).toEqual({
      replication: { value: 2, operator: 'Equal' },
      sizeBytes: { value: 4096, operator: 'Maximum' },
    });
  });

  it('keeps a whole policy as it is', () => {
    const whole = {
      default: true,
      enforcement: 'Reject',
      allowUpdate: true,
      volume: {
        replication: { value: 3, operator: 'Minimum' },
        sizeBytes: { value: 2 ** 30, operator: 'Minimum' },
        ioPriority: 'high',
        ioProfile: 'db',
        aggregationLevel: 1,
        sticky: true,
        labels: { tier: 'gold' },
      },
      placement: {
        replicaAffinity: [
          {
            enforcement: 'required',
            matchExpressions: [{ key: 'disk', operator: 'In', values: ['ssd'] }],
          },
        ],
        replicaAntiAffinity: [{ enforcement: 'preferred', weight: 50, topologyKey: 'rack' }],
        volumeAffinity: [
          { enforcement: 'preferred', matchExpressions: [{ key: 'app', operator: 'Exists' }] },
        ],
        volumeAntiAffinity: [
          {
            enforcement: 'required',
            topologyKey: 'zone',
            matchExpressions: [{ key: 'size', operator: 'Gt', values: ['5'] }],
          },
        ],
      },
      snapshotSchedule: {
        interval: { intervalMinutes: 60, retain: 3 },
        daily: { time: '12:00' },
        weekly: { day: 'sunday', time: '00:30', retain: 2 },
        monthly: { date: 31, time: '23:59' },
      },
    };
    expect(parsePolicy(JSON.stringify(whole))).toEqual(whole);
  });

  const rule = (changes: object) => ({
    placement: { replicaAffinity: [{ enforcement: 'required', topologyKey: 'zone', ...changes }] },
  });
  const expression = (changes: object) => rule({ matchExpressions: [{ key: 'a', ...changes }] });

  test.each([
    ['{', 'policy_json', /not JSON/],
    ['[]', 'policy_json', /./],
    [{ volumes: {} }, 'policy_json', /volumes: is not a field of a policy/],
    [{ default: 'yes' }, 'default', /boolean/],
    [{ enforcement: 'Warn' }, 'enforcement', /Coerce.*Reject/],
    [{ volume: { repl: 2 } }, 'volume', /volume\.repl: is not a field/],
    [{ volume: { replication: { value: 6 } } }, 'volume.replication.value', /5/],
    [{ volume: { replication: { value: 1.5 } } }, 'volume.replication.value', /int/],
    [
      { volume: { replication: { value: 1, operator: '>=' } } },
      'volume.replication.operator',
      /Minimum/,
    ],
    [{ volume: { sizeBytes: { value: 1 } } }, 'volume.sizeBytes.value', /4096/],
    [{ volume: { ioPriority: 'urgent' } }, 'volume.ioPriority', /high.*medium.*low/],
    [{ volume: { ioProfile: 'fast' } }, 'volume.ioProfile', /db_remote/],
    [{ volume: { aggregationLevel: 2 } }, 'volume.aggregationLevel', /striping.*not there yet/],
    [{ volume: { labels: { '': 'x' } } }, 'volume.labels.', /./],
    [
      { placement: { replicaAffinity: [{}] } },
      'placement.replicaAffinity.0',
      /topologyKey or match/,
    ],
    [
      { placement: { volumeAffinity: [{ topologyKey: 'zone' }] } },
      'placement.volumeAffinity.0',
      /matchExpressions/,
    ],
    [rule({ weight: 5 }), 'placement.replicaAffinity.0.weight', /preferred/],
    [rule({ enforcement: 'preferred', weight: 101 }), 'placement.replicaAffinity.0.weight', /100/],
    [
      expression({ operator: 'In' }),
      'placement.replicaAffinity.0.matchExpressions.0.values',
      /value/,
    ],
    [
      expression({ operator: 'Exists', values: ['x'] }),
      'placement.replicaAffinity.0.matchExpressions.0.values',
      /left out/,
    ],
    [
      expression({ operator: 'Lt', values: ['x'] }),
      'placement.replicaAffinity.0.matchExpressions.0.values',
      /whole number/,
    ],
    [{ snapshotSchedule: { daily: { time: '24:00' } } }, 'snapshotSchedule.daily.time', /HH:MM/],
    [
      { snapshotSchedule: { weekly: { day: 'someday', time: '12:00' } } },
      'snapshotSchedule.weekly.day',
      /sunday/,
    ],
    [
      { snapshotSchedule: { monthly: { date: 32, time: '12:00' } } },
      'snapshotSchedule.monthly.date',
      /31/,
    ],
    [
      { snapshotSchedule: { interval: { intervalMinutes: 0 } } },
      'snapshotSchedule.interval.intervalMinutes',
      /1/,
    ],
  ])('names the field of %j', (policy, field, message) => {
    const error = refusal(policy);
    expect(error.code).toBe('invalid_argument');
    expect(error.fields['field']).toBe(field);
    expect(error.message).toMatch(message);
  });

  it('takes names that Kubernetes and a shell take, and no others', () => {
    expect(checkPolicyName('gold-2.x_Y')).toBe('gold-2.x_Y');
    for (const name of ['', '-gold', 'gold.', 'a/b', 'a b', 'x'.repeat(254)]) {
      expect(() => checkPolicyName(name)).toThrow(/name: /);
    }
  });
});
