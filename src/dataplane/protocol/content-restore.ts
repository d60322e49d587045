import type { CoordinatorCore } from './core.js';
import type { Link } from './link.js';
import type { Membership } from './membership.js';
import { Status } from './ops.js';
import type { VolumeOps } from './volume-ops.js';

interface Restore {
  readonly keep: Link;
  readonly sourceVolumeId: string;
  readonly done: (status: number) => void;
  begun: boolean;
}

/**
 * Puts another volume's content into this one, which has no frontend (rule S2).
 * All replicas but one are taken out first and compared against it afterwards,
 * so that a crash at any moment leaves the old content or the new.
 */
export class ContentRestore {
  private restore: Restore | undefined;

  constructor(
    private readonly core: CoordinatorCore,
    private readonly membership: Membership,
    private readonly ops: VolumeOps,
    /** Replicas may join and leave again. */
    private readonly ended: () => void,
  ) {}

  /**
   * Until the content has been replaced no other replica joins: a resync would
   * compare it with what is about to go, and call it equal.
   */
  get active(): boolean {
    return this.restore !== undefined;
  }

  /** False when it can't begin; else `goOn` is due now and whenever roles have changed. */
  begin(
    sourceVolumeId: string,
    candidates: readonly string[],
    done: (status: number) => void,
  ): boolean {
    const keep = this.core.inSyncUp().find((link) => candidates.includes(link.replicaId));
    if (this.core.phase !== 'serving' || this.restore !== undefined || keep === undefined) {
      return false;
    }
    this.restore = { keep, sourceVolumeId, done, begun: false };
    return true;
  }

  goOn(): void {
    const { restore } = this;
    if (restore === undefined || restore.begun) return;
    const others = this.core.links.filter((link) => link !== restore.keep);
    for (const link of others) this.membership.dismiss(link, 'its content is being replaced');
    if (this.membership.busy || others.some((link) => link.role !== 'out')) return;
    restore.begun = true;
    this.ops.restoreFrom(restore.sourceVolumeId, (status) => {
      if (this.restore !== restore) return;
      this.restore = undefined;
      restore.done(status);
      this.ended();
    });
  }

  /** The coordinator ends. */
  abandon(): void {
    this.restore?.done(Status.fenced);
    this.restore = undefined;
  }
}
