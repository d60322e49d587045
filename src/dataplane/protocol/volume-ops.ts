import type { Cleaner } from './cleaner.js';
import type { CheckResult } from './coordinator-types.js';
import type { CoordinatorCore } from './core.js';
import type { InternalIo } from './internal-io.js';
import type { IoPath } from './io-path.js';
import type { Link } from './link.js';
import { OpKind, Status, digestBytes } from './ops.js';

/** Rare operations on the whole volume: snapshot, restore, growth, comparison, a clean end. */
export class VolumeOps {
  constructor(
    private readonly core: CoordinatorCore,
    private readonly io: IoPath,
    private readonly internal: InternalIo,
    private readonly cleaner: Cleaner,
  ) {}

  /**
   * Copies every in-sync replica named in `replicas` at one moment: new writes
   * wait, those at work end, and only then is each replica told.
   */
  copyTo(
    targetVolumeId: string,
    replicas: ReadonlyMap<string, string>,
    done: (status: number, copied: readonly string[]) => void,
  ): void {
    // Flushed first, so that writes wait only for the copy and not for the disk.
    this.flushAll(() => {
      this.io.freeze(() => {
        const links = this.core.inSyncUp().filter((link) => replicas.has(link.replicaId));
        const copied: string[] = [];
        this.each(
          links,
          (link, answered) => {
            const targetReplicaId = replicas.get(link.replicaId) ?? '';
            const message = { type: 'copy_to', targetVolumeId, targetReplicaId } as const;
            this.core.control(link, message, this.core.options.flushTimeoutMs, (reply) => {
              if (reply.status === Status.ok) copied.push(link.replicaId);
              answered();
            });
          },
          () => {
            this.io.thaw();
            done(copied.length > 0 ? Status.ok : Status.ioError, copied);
          },
        );
      });
    });
  }

  /** Replaces one replica's content; the caller has had etcd take out all others first. */
  restoreFrom(sourceVolumeId: string, done: (status: number) => void): void {
    const links = this.core.inSyncUp();
    const link = links[0];
    if (link === undefined || this.core.inSync().length !== 1) return done(Status.invalid);
    // Every chunk is marked first: after a crash the others are compared whole.
    this.core.marks.fill(0xff);
    const message = { type: 'admit', marks: this.core.marks.slice() } as const;
    this.core.control(link, message, this.core.options.flushTimeoutMs, (reply) => {
      if (reply.status !== Status.ok) return done(reply.status);
      const copy = { type: 'copy_from', sourceVolumeId } as const;
      this.core.control(link, copy, this.core.options.flushTimeoutMs, (answer) =>
        done(answer.status),
      );
    });
  }

  /** Tells the replicas the new size; those that are away are told when they come back. */
  resize(links: readonly Link[], sizeBytes: number, done: () => void): void {
    this.each(
      links.filter((link) => link.up),
      (link, answered) => {
        const message = { type: 'resize', sizeBytes } as const;
        this.core.control(link, message, this.core.options.flushTimeoutMs, () => answered());
      },
      done,
    );
  }

  /** Compares the in-sync replicas, range by range, each while no write is at work on it. */
  check(done: (result: CheckResult) => void): void {
    const links = this.core.inSyncUp();
    const replicas = links.map((link) => link.replicaId);
    const differences: CheckResult['differences'][number][] = [];
    const { maxHashBytes } = this.core.options.geometry;
    // A replica that was taken out meanwhile may rightly differ.
    const allIn = (): boolean =>
      links.every((link) => link.role === 'in_sync' && link.up && !link.doubtful);
    const stop = (bytesCompared: number): void =>
      done({ status: Status.ioError, bytesCompared, replicas, differences });
    const next = (offset: number): void => {
      const length = Math.min(maxHashBytes, this.core.sizeBytes - offset);
      if (!allIn()) return stop(offset);
      if (length <= 0) {
        done({ status: Status.ok, bytesCompared: offset, replicas, differences });
        return;
      }
      this.io.lock(offset, length, (lock) => {
        this.hashes(links, offset, length, (digests) => {
          this.io.unlock(lock);
          if (digests === undefined || !allIn()) return stop(offset);
          this.collect(differences, digests, offset, length);
          next(offset + length);
        });
      });
    };
    next(0);
  }

  /** Ends cleanly: nothing in flight, everything stable and equal, leases given back. */
  quiesce(done: () => void): void {
    this.io.freeze(() => {
      const goodbye = (): void => {
        this.core.giveLeasesBack();
        const up = this.core.links.filter((link) => link.up);
        this.each(
          up,
          (link, answered) =>
            this.core.control(link, { type: 'bye' }, this.core.options.replicaTimeoutMs, () =>
              answered(),
            ),
          done,
        );
      };
      const all = this.core.links;
      if (!all.every((link) => link.role === 'in_sync' && link.up)) {
        this.flushAll(goodbye);
        return;
      }
      this.core.touched.fill(0);
      this.cleaner.clean(this.core.marks.slice().fill(0xff), goodbye);
    });
  }

  private flushAll(done: () => void): void {
    const links = this.core.links.filter((link) => link.required && link.up);
    this.internal.withSlot((slot) => {
      this.internal.request(slot, OpKind.flush, 0, 0, links, () => {
        this.core.slots.release(slot);
        done();
      });
    });
  }

  private hashes(
    links: readonly Link[],
    offset: number,
    length: number,
    done: (digests: Uint8Array[] | undefined) => void,
  ): void {
    const digests: Uint8Array[] = [];
    let good = true;
    this.each(
      links,
      (link, answered) => {
        const message = { type: 'hash', offset, length } as const;
        this.core.control(link, message, this.core.options.flushTimeoutMs, (reply) => {
          good &&= reply.status === Status.ok;
          digests[links.indexOf(link)] = reply.digests ?? new Uint8Array(0);
          answered();
        });
      },
      () => done(good ? digests : undefined),
    );
  }

  private collect(
    differences: CheckResult['differences'][number][],
    digests: readonly Uint8Array[],
    offset: number,
    length: number,
  ): void {
    const { hashBlockBytes } = this.core.options.geometry;
    for (let block = 0; block * hashBlockBytes < length; block += 1) {
      const from = block * digestBytes;
      const each = digests.map((all) => all.subarray(from, from + digestBytes));
      const equal = each.every((digest) => digest.every((byte, index) => byte === each[0][index]));
      if (equal) continue;
      const start = block * hashBlockBytes;
      const size = Math.min(hashBlockBytes, length - start);
      differences.push({ offset: offset + start, length: size, digests: each });
    }
  }

  private each(
    links: readonly Link[],
    ask: (link: Link, answered: () => void) => void,
    done: () => void,
  ): void {
    let waiting = links.length;
    if (waiting === 0) return done();
    for (const link of links) {
      ask(link, () => {
        waiting -= 1;
        if (waiting === 0) done();
      });
    }
  }
}
