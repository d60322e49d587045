import { bitmapBytes, orInto, resized, setBits } from './bitmap.js';
import type { CoordinatorCore } from './core.js';
import type { Link } from './link.js';
import type { Membership } from './membership.js';
import { Status } from './ops.js';
import type { PlantedFaults } from './planted-faults.js';
import type { RangeCopier } from './range-copier.js';

interface Range {
  readonly offset: number;
  length: number;
}

/**
 * From the new epoch to the first served request: finds out which replicas can
 * be relied on, has etcd take out the others, makes equal what was in flight
 * when the coordinator before us ended, and waits until its read lease is over.
 */
export class Recovery {
  /** When the last read lease that an older coordinator may hold ends. */
  leaseOverAt = -Infinity;
  /**
   * Every in-sync replica was reached and every one had lost power: each has all
   * that was flushed, so that any of them may lead, now and if this starts over.
   */
  allLossy = false;
  private deadline = 0;
  private equal = false;
  private running = 0;

  constructor(
    private readonly core: CoordinatorCore,
    private readonly membership: Membership,
    private readonly copier: RangeCopier,
    private readonly faults: PlantedFaults,
    private readonly serve: () => void,
  ) {}

  begin(): void {
    this.running += 1;
    this.equal = false;
    this.copier.cancelAll();
    this.deadline = this.core.clock.now() + this.core.options.replicaTimeoutMs;
    this.core.setPhase('connecting', 'connects to its replicas');
    this.decide();
  }

  nextDeadline(): number {
    if (this.core.phase === 'recovering' && this.equal) return this.leaseOverAt;
    // Once it has passed, only an event can change the decision.
    const waits = this.core.phase === 'connecting' && this.core.clock.now() < this.deadline;
    return waits ? this.deadline : Infinity;
  }

  /** A link came or went, etcd answered, or time passed. */
  decide(): void {
    const { core } = this;
    if (core.phase === 'recovering') {
      if (core.links.some((link) => link.guardsReads && !link.up)) this.begin();
      else this.finish();
      return;
    }
    if (core.phase !== 'connecting') return;
    if (this.membership.busy || core.links.some((link) => link.role === 'leaving')) {
      this.membership.evaluate();
      return;
    }
    const members = core.inSync();
    const missing = members.filter((link) => !link.up);
    const doubtful = members.filter((link) => link.up && link.doubtful);
    const intact = members.length - missing.length - doubtful.length;
    if (missing.length > 0 && (intact === 0 || core.clock.now() < this.deadline)) {
      const names = missing.map((link) => link.nodeId).join(', ');
      const why = doubtful.length > 0 ? '; those reached lost power and may miss writes' : '';
      core.setPhase('connecting', `waits for the replicas on ${names}${why}`);
      return;
    }
    if (intact > 0 && missing.length + doubtful.length > 0) {
      for (const link of missing)
        this.membership.dismiss(link, 'did not answer the new coordinator');
      for (const link of doubtful)
        this.membership.dismiss(link, 'lost power with writes unflushed');
      return;
    }
    if (doubtful.length > 0) this.allLossy = true;
    for (const link of doubtful) link.doubtful = false;
    this.equalize(members);
  }

  private equalize(members: readonly Link[]): void {
    const { core } = this;
    core.setPhase('recovering', 'makes equal what was in flight');
    this.collectMarks(members);
    const source = members.find((link) => link.local) ?? members[0];
    const targets = members.filter((link) => link !== source);
    const byRing = !this.allLossy && members.every((link) => link.hello?.ringIntact === true);
    const ranges = byRing ? this.ringRanges(members) : this.markedRanges();
    const nothingToDo = targets.length === 0 || this.faults.has('equalize_skipped');
    this.copyAll(source, targets, nothingToDo ? [] : ranges, this.running);
  }

  private collectMarks(members: readonly Link[]): void {
    const { core } = this;
    const { chunkBytes } = core.options.geometry;
    core.marks = resized(core.marks, bitmapBytes(core.sizeBytes, chunkBytes));
    core.touched = resized(core.touched, core.marks.length);
    for (const link of members) if (link.hello !== undefined) orInto(core.marks, link.hello.marks);
  }

  private copyAll(source: Link, targets: readonly Link[], ranges: Range[], run: number): void {
    if (run !== this.running || this.core.phase !== 'recovering') return;
    const range = ranges.shift();
    if (range === undefined) {
      this.admitAll([source, ...targets], run);
      return;
    }
    this.copier.copy(source, targets, range.offset, range.length, (result) => {
      if (run !== this.running || this.core.phase !== 'recovering') return;
      if (result.failed === undefined) this.copyAll(source, targets, ranges, run);
      else this.failedOn(result.failed);
    });
  }

  private admitAll(members: readonly Link[], run: number): void {
    let waiting = members.length;
    const message = { type: 'admit', marks: this.core.marks.slice() } as const;
    for (const link of members) {
      this.core.control(link, message, this.core.options.flushTimeoutMs, (reply) => {
        if (run !== this.running || this.core.phase !== 'recovering') return;
        if (reply.status !== Status.ok) {
          this.failedOn(link);
          return;
        }
        waiting -= 1;
        if (waiting > 0) return;
        this.equal = true;
        this.core.setPhase('recovering', 'waits out the read lease of the coordinator before');
        this.finish();
      });
    }
  }

  /** A replica could not be made equal: without it, if the others can do without, or once more. */
  private failedOn(link: Link): void {
    this.running += 1;
    this.membership.dismiss(link, 'could not be made equal');
    this.membership.restart(link, 'could not be made equal');
    this.begin();
  }

  private finish(): void {
    if (!this.equal || this.core.clock.now() < this.leaseOverAt) return;
    this.equal = false;
    this.serve();
  }

  /** Blocks that an operation in flight on any of them may have touched. */
  private ringRanges(members: readonly Link[]): Range[] {
    const { hashBlockBytes } = this.core.options.geometry;
    const ranges: Range[] = [];
    for (const { hello } of members) {
      for (let at = 0; hello !== undefined && at < hello.ring.length; at += 2) {
        const start = Math.floor(hello.ring[at] / hashBlockBytes) * hashBlockBytes;
        const end = Math.ceil((hello.ring[at] + hello.ring[at + 1]) / hashBlockBytes);
        ranges.push({ offset: start, length: end * hashBlockBytes - start });
      }
    }
    return this.pieces(merged(ranges));
  }

  private markedRanges(): Range[] {
    const { chunkBytes } = this.core.options.geometry;
    const chunks = Math.ceil(this.core.sizeBytes / chunkBytes);
    const ranges: Range[] = [];
    for (const chunk of setBits(this.core.marks, chunks)) {
      ranges.push({ offset: chunk * chunkBytes, length: chunkBytes });
    }
    return this.pieces(ranges);
  }

  private pieces(ranges: readonly Range[]): Range[] {
    const { maxHashBytes } = this.core.options.geometry;
    const result: Range[] = [];
    for (const { offset, length } of ranges) {
      const end = Math.min(offset + length, this.core.sizeBytes);
      for (let at = offset; at < end; at += maxHashBytes) {
        result.push({ offset: at, length: Math.min(maxHashBytes, end - at) });
      }
    }
    return result;
  }
}

function merged(ranges: Range[]): Range[] {
  const sorted = [...ranges].sort((left, right) => left.offset - right.offset);
  const result: Range[] = [];
  for (const range of sorted) {
    const last = result.at(-1);
    if (last === undefined || range.offset > last.offset + last.length) result.push({ ...range });
    else last.length = Math.max(last.length, range.offset + range.length - last.offset);
  }
  return result;
}
