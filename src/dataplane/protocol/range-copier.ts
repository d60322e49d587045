import type { CoordinatorCore } from './core.js';
import type { InternalIo } from './internal-io.js';
import type { Link } from './link.js';
import { OpKind, Status, digestBytes, maxIoBytes } from './ops.js';
import type { PlantedFaults } from './planted-faults.js';

export interface CopyResult {
  /** The replica that failed, when the range could not be made equal. */
  readonly failed: Link | undefined;
  readonly copiedBytes: number;
}

interface CopyJob {
  readonly offset: number;
  length: number;
  readonly zero: boolean;
  readonly targets: Link[];
}

/**
 * Makes a range the same on several replicas: compares it block by block by
 * hash and copies, from the source, only the blocks that differ. Recovery,
 * resync and the repair of a failed request all use it.
 */
export class RangeCopier {
  private generation = 0;

  constructor(
    private readonly core: CoordinatorCore,
    private readonly io: InternalIo,
    private readonly faults: PlantedFaults,
  ) {}

  /**
   * Forgets every copy under way: a job that went on after the volume is served
   * would put old data over new. What was sent already comes before anything
   * that is sent later on the same link.
   */
  cancelAll(): void {
    this.generation += 1;
  }

  /** `offset` is aligned to a hash block and `length` at most `maxHashBytes`. */
  copy(
    source: Link,
    targets: readonly Link[],
    offset: number,
    length: number,
    done: (result: CopyResult) => void,
  ): void {
    const all = [source, ...targets];
    const digests = new Map<Link, Uint8Array>();
    let waiting = all.length;
    let failed: Link | undefined;
    const { generation } = this;
    for (const link of all) {
      this.hash(link, offset, length, (answer) => {
        if (generation !== this.generation) return;
        waiting -= 1;
        if (answer === undefined) failed ??= link;
        else digests.set(link, answer);
        if (waiting > 0) return;
        if (failed !== undefined) done({ failed, copiedBytes: 0 });
        else this.runJobs(source, this.plan(source, targets, digests, offset, length), done);
      });
    }
  }

  private hash(
    link: Link,
    offset: number,
    length: number,
    done: (digests: Uint8Array | undefined) => void,
  ): void {
    if (!link.up) return done(undefined);
    const { flushTimeoutMs } = this.core.options;
    this.core.control(link, { type: 'hash', offset, length }, flushTimeoutMs, (reply) =>
      done(reply.status === Status.ok ? reply.digests : undefined),
    );
  }

  private plan(
    source: Link,
    targets: readonly Link[],
    digests: ReadonlyMap<Link, Uint8Array>,
    offset: number,
    length: number,
  ): CopyJob[] {
    const { hashBlockBytes } = this.core.options.geometry;
    const wanted = digests.get(source) ?? new Uint8Array(0);
    const jobs: CopyJob[] = [];
    for (let block = 0; block * hashBlockBytes < length; block += 1) {
      const at = block * digestBytes;
      const differing = targets.filter(
        (target) => !sameDigest(wanted, digests.get(target) ?? new Uint8Array(0), at),
      );
      if (differing.length === 0) continue;
      const zero = isZeroDigest(wanted, at);
      if (zero && this.faults.has('discard_lost_in_resync')) continue;
      const start = block * hashBlockBytes;
      appendJob(jobs, {
        offset: offset + start,
        length: Math.min(hashBlockBytes, length - start),
        zero,
        targets: differing,
      });
    }
    return jobs;
  }

  private runJobs(source: Link, jobs: CopyJob[], done: (result: CopyResult) => void): void {
    let copiedBytes = 0;
    const { generation } = this;
    const next = (): void => {
      const job = jobs.shift();
      if (job === undefined) return done({ failed: undefined, copiedBytes });
      copiedBytes += job.length;
      this.io.withSlot((slot) => {
        if (generation !== this.generation) {
          this.core.slots.release(slot);
          return;
        }
        this.runJob(slot, source, job, (failed) => {
          this.core.slots.release(slot);
          if (generation !== this.generation) return;
          if (failed === undefined) next();
          else done({ failed, copiedBytes });
        });
      });
    };
    next();
  }

  private runJob(
    slot: number,
    source: Link,
    job: CopyJob,
    done: (failed: Link | undefined) => void,
  ): void {
    const { offset, length, targets } = job;
    const { generation } = this;
    if (job.zero) {
      this.io.request(slot, OpKind.zero, offset, length, targets, (_, failed) => done(failed));
      return;
    }
    this.io.request(slot, OpKind.read, offset, length, [source], (status, failed) => {
      if (status !== Status.ok || generation !== this.generation) return done(failed);
      this.io.request(slot, OpKind.write, offset, length, targets, (_, lost) => done(lost));
    });
  }
}

function appendJob(jobs: CopyJob[], job: CopyJob): void {
  const last = jobs.at(-1);
  const joins =
    last !== undefined &&
    last.zero === job.zero &&
    last.offset + last.length === job.offset &&
    last.length + job.length <= maxIoBytes &&
    last.targets.length === job.targets.length &&
    last.targets.every((target, index) => target === job.targets[index]);
  if (joins) last.length += job.length;
  else jobs.push(job);
}

function sameDigest(left: Uint8Array, right: Uint8Array, at: number): boolean {
  if (left.length < at + digestBytes || right.length < at + digestBytes) return false;
  for (let index = at; index < at + digestBytes; index += 1) {
    if (left[index] !== right[index]) return false;
  }
  return true;
}

function isZeroDigest(digests: Uint8Array, at: number): boolean {
  for (let index = at; index < at + digestBytes; index += 1) if (digests[index] !== 0) return false;
  return true;
}
