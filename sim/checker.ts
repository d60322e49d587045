import type { VolumeRecord } from '../src/kernel/volume-record.js';
import { SectorHistory, valueOf, type ClientOp, type OpType } from './history.js';

/** A rule that the protocol broke. */
export class Violation extends Error {
  constructor(
    readonly rule: string,
    detail: string,
  ) {
    super(`${rule}: ${detail}`);
    this.name = 'Violation';
  }
}

/** What the checker may look at behind the protocol's back. */
export interface Truth {
  record(): VolumeRecord;
  /** A replica's content as its machine would read it; undefined when the machine is off. */
  content(replicaId: string): Uint32Array | undefined;
  contentWithoutPower(replicaId: string): Uint32Array;
  /** The epoch that a replica obeys. */
  replicaEpoch(replicaId: string): number;
}

interface Snapshot {
  readonly name: string;
  readonly invoke: number;
  readonly answered: number;
  readonly content: Uint32Array;
}

/**
 * Watches everything that clients, disks and etcd do, and throws a `Violation`
 * as soon as one of the protocol's promises is broken.
 */
export class Checker {
  private clock = 0;
  private nextId = 1;
  readonly sectors: SectorHistory[] = [];
  /** The newest epoch that acknowledged anything, and when each older one was over for good. */
  private newestEpoch = 0;
  private readonly epochEnds: number[] = [];
  private fencedEpoch = 0;
  /** In-sync replicas that lost power and have not been made whole since, by the moment they lost it. */
  private readonly tainted = new Map<string, number>();
  /** A living coordinator's acknowledged writes are gone: its next flush must not say that all is well. */
  private owedFlushError: { epoch: number; lostSince: number } | undefined;
  /** The present taints have been accounted for. */
  private lossDeclared = false;
  private lastFlushFailure: ClientOp | undefined;
  acknowledged = 0;
  readsChecked = 0;
  totalLosses = 0;
  snapshots = 0;

  constructor(
    sectorCount: number,
    private readonly truth: Truth,
    private readonly trace: (text: () => string) => void,
  ) {
    this.grown(sectorCount);
  }

  /** The volume has at least so many sectors from now on. */
  grown(sectorCount: number): void {
    while (this.sectors.length < sectorCount) {
      const endOf = (epoch: number) => this.epochEnds[epoch] ?? Infinity;
      this.sectors.push(new SectorHistory(this.sectors.length, endOf));
    }
  }

  /** The next moment: no two events share one. */
  moment(): number {
    return ++this.clock;
  }

  invoke(type: OpType, first: number, count: number, epoch: number): ClientOp {
    const op: ClientOp = {
      id: this.nextId++,
      type,
      first,
      count,
      epoch,
      invoke: this.moment(),
      answered: Infinity,
      ok: false,
    };
    if (type === 'write' || type === 'zero') {
      for (const sector of this.covered(op)) sector.writeInvoked(op);
    }
    return op;
  }

  /** `content`: what a read returned. */
  answer(op: ClientOp, ok: boolean, content: Uint32Array): void {
    op.answered = this.moment();
    op.ok = ok;
    if (!ok) {
      if (op.type === 'flush') this.flushFailed(op);
      return;
    }
    this.acknowledged++;
    this.checkEpoch(op);
    switch (op.type) {
      case 'read':
        this.readsChecked++;
        this.covered(op).forEach((sector, i) => sector.readAnswered(op, content[i], op.answered));
        this.failIfSuspicious(op);
        break;
      case 'write':
      case 'zero':
        this.checkHeldByAll(op);
        for (const sector of this.covered(op)) sector.writeAcknowledged(op, op.answered);
        this.forgetTaintsBefore(op.invoke);
        break;
      case 'flush':
        this.checkFlushAfterLoss(op);
        for (const sector of this.sectors) sector.flushed(op.invoke);
        this.forgetTaintsBefore(op.invoke);
        break;
    }
  }

  /** A replica has durably noted that its content is whole, or that a power cut took nothing. */
  admitted(replicaId: string): void {
    if (this.tainted.delete(replicaId)) this.lossDeclared = false;
  }

  /** A replica's machine lost power, or its disk lost pages that it could not write. */
  volatileLost(replicaId: string): void {
    this.tainted.set(replicaId, this.moment());
    if (this.inSyncIds().includes(replicaId)) this.lossIfAllTainted();
  }

  /**
   * Nobody is there to notice: a replica was taken out just when those that stay
   * had lost power, and the coordinator ended before it could take the replica
   * back (`Membership.removed`). Etcd then names only replicas that lost their
   * caches, and no protocol that decides by a compare-and-set can tell.
   */
  orphaned(): void {
    if (!this.lossDeclared) this.lossIfAllTainted();
  }

  private lossIfAllTainted(): void {
    const inSync = this.inSyncIds();
    if (!inSync.every((id) => this.tainted.has(id))) return;
    const now = this.moment();
    this.lossDeclared = true;
    this.totalLosses++;
    this.trace(() => `total loss of volatile caches: ${inSync.join(',')}`);
    this.noteLoss();
    for (const sector of this.sectors) {
      const problem = sector.totalLoss(now);
      if (problem !== undefined) throw new Violation('linearizable', problem);
    }
  }

  /** In-sync replicas are equal whenever nothing is under way. */
  quiet(where: string): void {
    const ids = this.inSyncIds().filter((id) => !this.tainted.has(id));
    const contents = ids.map((id) => this.truth.content(id));
    const first = contents[0];
    for (let i = 1; i < contents.length; i++) {
      const other = contents[i];
      if (first === undefined || other === undefined) continue;
      // One that is away hears of a new size when it comes back; until then the rest is zeroes.
      const sector = this.sectors.findIndex((_, at) => (other[at] ?? 0) !== (first[at] ?? 0));
      if (sector >= 0) {
        throw new Violation(
          'in_sync_equal',
          `${where}: sector ${sector}: ${ids[0]} has ${first[sector]}, ${ids[i]} has ${other[sector]}`,
        );
      }
    }
  }

  /** A snapshot that was reported: the same on all replicas, and one moment of the history. */
  snapshotDone(name: string, invoke: number, contents: ReadonlyMap<string, Uint32Array>): void {
    this.snapshots++;
    const answered = this.moment();
    const [first, ...others] = [...contents.entries()];
    if (first === undefined) throw new Violation('snapshot_one_moment', `${name} has no copy`);
    for (const [id, content] of others) {
      // One may have been told of a new size already, and the other not.
      const longer = content.length > first[1].length ? content : first[1];
      const sector = longer.findIndex((_, at) => (first[1][at] ?? 0) !== (content[at] ?? 0));
      if (sector >= 0) {
        throw new Violation(
          'snapshot_one_moment',
          `${name}: sector ${sector}: ${first[0]} has ${first[1][sector]}, ${id} has ${content[sector]}`,
        );
      }
    }
    this.checkCut({ name, invoke, answered, content: first[1] });
  }

  /** What the cheap check left open. */
  finish(): void {
    for (const sector of this.sectors) {
      const problem = sector.verdict();
      if (problem !== undefined) throw new Violation('linearizable', problem);
    }
  }

  /** Nothing of an older epoch may be acknowledged from now on (rule F1). */
  fenced(epoch: number): void {
    this.fencedEpoch = Math.max(this.fencedEpoch, epoch);
  }

  private checkEpoch(op: ClientOp): void {
    if (op.epoch < this.fencedEpoch) {
      throw new Violation(
        'fenced',
        `op ${op.id} (${op.type}) of epoch ${op.epoch} was acknowledged after its node was fenced by epoch ${this.fencedEpoch}`,
      );
    }
    if (op.epoch < this.newestEpoch) {
      throw new Violation(
        'one_coordinator',
        `op ${op.id} (${op.type}) of epoch ${op.epoch} was acknowledged after epoch ${this.newestEpoch} had acknowledged`,
      );
    }
    if (op.epoch === this.newestEpoch) return;
    for (let epoch = this.newestEpoch; epoch < op.epoch; epoch++) {
      this.epochEnds[epoch] = op.answered;
    }
    this.newestEpoch = op.epoch;
  }

  /** The compare-and-set comes before the acknowledgement: whoever is in sync in etcd has it. */
  private checkHeldByAll(op: ClientOp): void {
    for (const id of this.inSyncIds()) {
      const lostAt = this.tainted.get(id);
      if (lostAt !== undefined && lostAt > op.invoke) continue;
      // A newer coordinator may already have written something else there.
      if (this.truth.replicaEpoch(id) > op.epoch) continue;
      const content = this.truth.content(id);
      if (content === undefined) continue;
      for (let sector = op.first; sector < op.first + op.count; sector++) {
        if (content[sector] === valueOf(op, sector)) continue;
        throw new Violation(
          'acknowledged_on_all_in_sync',
          `op ${op.id} (${op.type}) was acknowledged, but ${id}, in sync in etcd, has ${content[sector]} in sector ${sector}`,
        );
      }
    }
  }

  /** Which acknowledged writes are really gone: those that no replica, in sync or not, kept by luck. */
  private noteLoss(): void {
    const { replicas } = this.truth.record();
    const contents = replicas.map((replica) => this.truth.contentWithoutPower(replica.id));
    let lostSince = Infinity;
    for (const history of this.sectors) {
      const { sector, acknowledgedAt, acknowledgedEpoch } = history;
      // A client of an earlier epoch is gone, and with it what it believed.
      if (acknowledgedEpoch !== this.newestEpoch) continue;
      const isKept = contents.some((content) => history.mayHold(content[sector]));
      if (acknowledgedAt > 0 && !isKept) lostSince = Math.min(lostSince, acknowledgedAt);
    }
    const told = this.lastFlushFailure;
    if (told !== undefined && told.epoch === this.newestEpoch && told.answered > lostSince) return;
    if (lostSince < Infinity) this.owedFlushError = { epoch: this.newestEpoch, lostSince };
  }

  /** Whether every replica that etcd counts on holds what the present client was told is written. */
  private isAllKept(): boolean {
    const contents = this.inSyncIds().map((id) => this.truth.content(id) ?? []);
    return this.sectors.every(
      (history) =>
        history.acknowledgedEpoch !== this.newestEpoch ||
        history.acknowledgedAt === 0 ||
        contents.every((content) => history.mayHold(content[history.sector] ?? 0)),
    );
  }

  private flushFailed(op: ClientOp): void {
    this.lastFlushFailure = op;
    if (op.epoch === this.owedFlushError?.epoch) this.owedFlushError = undefined;
  }

  private checkFlushAfterLoss(op: ClientOp): void {
    const owed = this.owedFlushError;
    if (owed === undefined || op.epoch !== owed.epoch || op.invoke <= owed.lostSince) return;
    // The last copy to a replica that was being filled may have been on its way.
    if (this.isAllKept()) {
      this.owedFlushError = undefined;
      return;
    }
    throw new Violation(
      'flush_after_loss',
      `flush ${op.id} succeeded although writes acknowledged to the same client before it are gone`,
    );
  }

  /** What began after the power came back and is acknowledged shows that those replicas take part again. */
  private forgetTaintsBefore(invoke: number): void {
    if (this.tainted.size === 0) return;
    for (const id of this.inSyncIds()) {
      const lostAt = this.tainted.get(id);
      if (lostAt !== undefined && lostAt < invoke) this.admitted(id);
    }
  }

  private failIfSuspicious(op: ClientOp): void {
    for (const sector of this.covered(op)) {
      if (!sector.suspicious) continue;
      const problem = sector.verdict();
      if (problem !== undefined) throw new Violation('linearizable', `op ${op.id}: ${problem}`);
    }
  }

  private checkCut(snapshot: Snapshot): void {
    const { name, invoke, answered, content } = snapshot;
    // A moment common to all sectors: only the beginning of a span can be the earliest one.
    const spans = this.sectors.slice(0, content.length).map((sector, at) => {
      const found = sector
        .spansOf(content[at])
        .map(([from, until]) => [Math.max(from, invoke), Math.min(until, answered)] as const)
        .filter(([from, until]) => from <= until);
      if (found.length === 0) {
        throw new Violation(
          'snapshot_cut',
          `${name}: sector ${at} never held ${content[at]} between ${invoke} and ${answered}`,
        );
      }
      return found;
    });
    const moments = new Set(spans.flat().map(([from]) => from));
    for (const moment of moments) {
      if (spans.every((list) => list.some(([from, until]) => from <= moment && moment <= until))) {
        return;
      }
    }
    throw new Violation(
      'snapshot_cut',
      `${name} mixes several moments of [${invoke}, ${answered}]`,
    );
  }

  private covered(op: ClientOp): SectorHistory[] {
    return this.sectors.slice(op.first, op.first + op.count);
  }

  private inSyncIds(): string[] {
    return this.truth
      .record()
      .replicas.filter((replica) => replica.state === 'in_sync')
      .map((replica) => replica.id);
  }
}
