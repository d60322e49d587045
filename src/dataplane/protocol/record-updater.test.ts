import fc from 'fast-check';
import type { VolumeRecord } from '../../kernel/volume-record.js';
import type { RecordOutcome } from './ports.js';
import { RecordUpdater, type KvCasOutcome, type KvRead } from './record-updater.js';

const record: VolumeRecord = {
  id: 'v',
  name: 'v',
  lifecycle: 'ready',
  sizeBytes: 4096,
  spec: {
    replicas: 2,
    ioPriority: 'high',
    fs: 'none',
    blockSizeBytes: 4096,
    nodes: [],
    zones: [],
    racks: [],
    regions: [],
    bestEffortLocation: false,
    group: '',
    groupEnforced: false,
    sticky: false,
    noDiscard: false,
    queueDepth: 1,
    ioProfile: '',
    aggregationLevel: 0,
    labels: {},
  },
  createdAt: '',
  readOnly: false,
  parentId: '',
  replicas: [
    { id: 'a', nodeId: 'n1', poolId: 'p1', state: 'in_sync' },
    { id: 'b', nodeId: 'n2', poolId: 'p2', state: 'in_sync' },
  ],
  epoch: 3,
  attachedOn: 'n1',
  attachToken: 't',
  publishedOn: '',
  publishedReadOnly: false,
};

/** What the store does with one compare-and-set. `late`: it goes through after its time-out. */
type Fate = 'answered' | 'lost' | 'done_unknown' | 'late' | 'raced';

/** A store of one key that answers at once, or not, as it is told. */
class FakeStore {
  value: string | undefined = JSON.stringify(record);
  revision = 10;
  readonly fates: Fate[] = [];
  failReads = 0;
  private readonly late: (() => void)[] = [];
  private readonly timers: (() => void)[] = [];

  readonly kv = {
    get: (_key: string, callback: (read: KvRead) => void) => {
      if (this.failReads > 0) {
        this.failReads--;
        callback({ outcome: 'failed' });
      } else if (this.value === undefined) callback({ outcome: 'absent' });
      else callback({ outcome: 'found', value: this.value, revision: this.revision });
    },
    compareAndSet: (
      _key: string,
      revision: number,
      value: string,
      callback: (outcome: KvCasOutcome) => void,
    ) => {
      const apply = (): boolean => {
        if (revision !== this.revision) return false;
        this.value = value;
        this.revision++;
        return true;
      };
      switch (this.fates.shift() ?? 'answered') {
        case 'lost':
          return callback('unknown');
        case 'done_unknown':
          apply();
          return callback('unknown');
        case 'late':
          this.late.push(apply);
          return callback('unknown');
        case 'raced':
          // Somebody else changes what we don't care about.
          this.edit((present) => ({ ...present, publishedOn: `x${this.revision}` }));
          return callback(apply() ? 'ok' : 'conflict');
        case 'answered':
          return callback(apply() ? 'ok' : 'conflict');
      }
    },
  };
  readonly timer = { after: (_ms: number, callback: () => void) => this.timers.push(callback) };
  readonly updater = new RecordUpdater({ kv: this.kv, timer: this.timer, keyOf: (id) => id });

  edit(change: (present: VolumeRecord) => VolumeRecord): void {
    this.value = JSON.stringify(change(this.record()));
    this.revision++;
  }
  record(): VolumeRecord {
    return JSON.parse(this.value ?? 'null') as VolumeRecord;
  }
  /** Lets what is late arrive, and all timers fire, until nothing is left. */
  settle(lateFirst: boolean): void {
    for (let round = 0; this.timers.length + this.late.length > 0; round++) {
      expect(round).toBeLessThan(200);
      const first = lateFirst ? this.late : this.timers;
      const next = first.shift() ?? this.late.shift() ?? this.timers.shift();
      next?.();
    }
  }
}

const removeB = { type: 'remove_in_sync', epoch: 3, replicaIds: ['b'] } as const;
const detach = { type: 'detach', epoch: 3 } as const;

function request(store: FakeStore, change: typeof removeB | typeof detach): RecordOutcome[] {
  const outcomes: RecordOutcome[] = [];
  store.updater.request('v', change, (outcome) => outcomes.push(outcome));
  return outcomes;
}

describe('RecordUpdater', () => {
  it('answers once, with what the store truly holds, whatever happens on the way', () => {
    const fate = fc.constantFrom<Fate>('answered', 'lost', 'done_unknown', 'late', 'raced');
    fc.assert(
      fc.property(
        fc.array(fate, { maxLength: 12 }),
        fc.nat({ max: 3 }),
        fc.boolean(),
        (fates, failReads, lateFirst) => {
          const store = new FakeStore();
          store.fates.push(...fates);
          store.failReads = failReads;
          const first = request(store, removeB);
          const second = request(store, detach);
          store.settle(lateFirst);
          expect([...first, ...second].map(({ result }) => result)).toEqual(['done', 'done']);
          expect(first[0]?.record?.replicas[1]?.state).toBe('out');
          expect(first[0]?.record?.attachedOn).toBe('n1');
          expect(store.record().replicas[1]?.state).toBe('out');
          expect(store.record().attachedOn).toBe('');
          expect(store.updater.isBusy('v')).toBe(false);
        },
      ),
    );
  });

  it('never reports done for a change that lost against a newer epoch', () => {
    const store = new FakeStore();
    store.fates.push('late');
    const outcomes = request(store, removeB);
    store.edit((present) => ({ ...present, epoch: 4, attachToken: 'other' }));
    store.settle(true);
    expect(outcomes.map(({ result }) => result)).toEqual(['fenced']);
    expect(store.record().replicas[1]?.state).toBe('in_sync');
  });

  it('refuses to take the last replica out, and says fenced when the volume is gone', () => {
    const store = new FakeStore();
    const outcomes: RecordOutcome[] = [];
    const both = { ...removeB, replicaIds: ['a', 'b'] };
    store.updater.request('v', both, (outcome) => outcomes.push(outcome));
    store.value = undefined;
    store.updater.request('v', removeB, (outcome) => outcomes.push(outcome));
    expect(outcomes.map(({ result }) => result)).toEqual(['refused', 'fenced']);
  });

  it('waits while the record cannot be understood', () => {
    const store = new FakeStore();
    store.value = '{"id":"another"}';
    const outcomes = request(store, removeB);
    expect(outcomes).toEqual([]);
    expect(store.updater.isBusy('v')).toBe(true);
    store.value = JSON.stringify(record);
    store.settle(false);
    expect(outcomes.map(({ result }) => result)).toEqual(['done']);
  });
});
