import { checkRegister, type RegisterOp } from './linearize.js';

export type OpType = 'read' | 'write' | 'zero' | 'flush';

/** One client request; its times are the checker's, one step for each event. */
export interface ClientOp {
  readonly id: number;
  readonly type: OpType;
  readonly first: number;
  readonly count: number;
  readonly epoch: number;
  readonly invoke: number;
  /** When it was answered; Infinity until then, and for ever when its coordinator died. */
  answered: number;
  ok: boolean;
}

/** What an op's write leaves in a sector; a zero's is 0. */
export function valueOf(op: ClientOp, sector: number): number {
  return op.type === 'zero' ? 0 : op.id * 8 + (sector - op.first) + 8;
}

interface PossibleValue {
  readonly value: number;
  readonly since: number;
  /** It certainly was the content at `since`. */
  readonly definite: boolean;
}

const unknown = -1;

/**
 * What is known of one sector: its value in the order of acknowledgements, the
 * writes that may yet show, and what a total loss of volatile caches may bring back.
 */
export class SectorHistory {
  /** The value, or `unknown` after a total loss, one of `initials`. */
  current = 0;
  /** When the current value was acknowledged; 0 when it was not, or a flush or a loss came since. */
  acknowledgedAt = 0;
  /** To a client of which epoch. */
  acknowledgedEpoch = 0;
  private currentSince = 0;
  /** Writes neither acknowledged, nor observed, nor certainly without effect. */
  private maybe: ClientOp[] = [];
  private initials: Set<number> = new Set([0]);
  private begun = 0;
  private recent: PossibleValue[] = [{ value: 0, since: 0, definite: true }];
  private writes: ClientOp[] = [];
  private reads: { op: ClientOp; value: number }[] = [];
  /** The cheap check could not explain a read. */
  suspicious = false;

  constructor(
    readonly sector: number,
    /** When an unanswered op of this epoch must have been settled. */
    private readonly epochEnd: (epoch: number) => number,
  ) {}

  writeInvoked(op: ClientOp): void {
    this.writes.push(op);
    this.maybe.push(op);
  }

  writeAcknowledged(op: ClientOp, now: number): void {
    // Under way during a total loss: acknowledged from before it, and perhaps lost.
    if (op.invoke < this.begun) return;
    this.settle(op.invoke);
    const index = this.maybe.indexOf(op);
    // Observed before it was acknowledged: it has its place already.
    if (index < 0) return;
    this.maybe.splice(index, 1);
    this.set(valueOf(op, this.sector), now);
    this.acknowledgedAt = now;
    this.acknowledgedEpoch = op.epoch;
  }

  readAnswered(op: ClientOp, value: number, now: number): void {
    // A read across a total loss may show what was before or after it.
    if (op.invoke < this.begun) return;
    this.reads.push({ op, value });
    if (value === this.current) {
      this.currentSince = now;
    } else if (this.current === unknown && this.initials.has(value)) {
      this.set(value, now);
    } else {
      const index = this.maybe.findIndex(
        (write) =>
          valueOf(write, this.sector) === value && this.settledAt(write) >= this.currentSince,
      );
      if (index < 0) {
        this.suspicious = true;
        return;
      }
      this.maybe.splice(index, 1);
      this.set(value, now);
    }
    this.settle(op.invoke);
  }

  /** The value itself, or that of a write under way. */
  mayHold(value: number): boolean {
    if (value === this.current) return true;
    return this.maybe.some((write) => valueOf(write, this.sector) === value);
  }

  /** Everything acknowledged before `invoke` is on stable storage. */
  flushed(invoke: number): void {
    let base = -1;
    for (const entry of this.recent) {
      if (entry.definite && entry.since <= invoke && entry.since > base) base = entry.since;
    }
    if (this.acknowledgedAt <= invoke) this.acknowledgedAt = 0;
    if (base > 0) this.recent = this.recent.filter((entry) => entry.since >= base);
  }

  /** Every in-sync replica has lost its volatile cache. Returns what was wrong until now. */
  totalLoss(now: number): string | undefined {
    const problem = this.verdict();
    const values = new Set(this.recent.map((entry) => entry.value));
    for (const write of this.maybe) values.add(valueOf(write, this.sector));
    this.initials = values;
    this.recent = [...values].map((value) => ({ value, since: now, definite: values.size === 1 }));
    this.current = values.size === 1 ? this.recent[0].value : unknown;
    this.currentSince = now;
    this.begun = now;
    this.acknowledgedAt = 0;
    this.reads = [];
    // What is under way may still be acknowledged, and have been lost all the same.
    this.writes = this.writes.filter((write) => write.answered === Infinity);
    this.maybe = this.writes.filter((write) => this.settledAt(write) === Infinity);
    this.suspicious = false;
    return problem;
  }

  /** The full check, for what the cheap one could not explain. */
  verdict(): string | undefined {
    if (!this.suspicious) return undefined;
    const ops: RegisterOp[] = this.writes.map((write) => {
      const optional = !write.ok || write.invoke < this.begun;
      const settled = optional ? this.settledAt(write) : write.answered;
      return {
        isWrite: true,
        value: valueOf(write, this.sector),
        invoke: write.invoke,
        settled,
        optional,
      };
    });
    for (const { op, value } of this.reads) {
      ops.push({ isWrite: false, value, invoke: op.invoke, settled: op.answered, optional: false });
    }
    const verdict = checkRegister(this.initials, ops);
    if (verdict === 'linearizable') return undefined;
    const shown = [...ops]
      .sort((left, right) => left.invoke - right.invoke)
      .slice(-24)
      .map(
        (op) =>
          `${op.isWrite ? (op.optional ? 'w?' : 'w') : 'r'}${op.value}[${op.invoke},${op.settled}]`,
      )
      .join(' ');
    const initials = [...this.initials].join(',');
    return `sector ${this.sector}: ${verdict}: initial {${initials}} ${shown}`;
  }

  /** The spans of time within which the sector may have held `value`. */
  spansOf(value: number): (readonly [from: number, until: number])[] {
    const spans: (readonly [number, number])[] = [];
    if (this.initials.has(value)) spans.push([0, this.overwrittenAt(this.begun)]);
    for (const write of this.writes) {
      if (valueOf(write, this.sector) !== value) continue;
      const settled = write.ok ? write.answered : this.settledAt(write);
      spans.push([write.invoke, this.overwrittenAt(settled)]);
    }
    return spans;
  }

  /** When a write that began after `moment` was acknowledged first. */
  private overwrittenAt(moment: number): number {
    let first = Infinity;
    for (const write of this.writes) {
      if (write.ok && write.invoke > moment && write.answered < first) first = write.answered;
    }
    return first;
  }

  private set(value: number, now: number): void {
    this.current = value;
    this.acknowledgedAt = 0;
    this.currentSince = now;
    this.recent.push({ value, since: now, definite: true });
  }

  private settledAt(write: ClientOp): number {
    return Math.min(write.answered, this.epochEnd(write.epoch));
  }

  /** Something that began at `invoke` has been seen: what was settled before has shown, or never will. */
  private settle(invoke: number): void {
    if (this.maybe.length === 0) return;
    this.maybe = this.maybe.filter((write) => {
      const settled = this.settledAt(write);
      if (settled >= invoke) return true;
      this.recent.push({ value: valueOf(write, this.sector), since: settled, definite: false });
      return false;
    });
  }
}
