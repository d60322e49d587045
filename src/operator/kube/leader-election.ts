import { setTimeout as sleep } from 'node:timers/promises';
import { resources } from '../../crds/resources.js';
import { toPxError } from '../../kernel/errors.js';
import type { Logger } from '../../platform/logger.js';
import { monotonicMs } from '../../platform/monotonic.js';
import type { KubeApi, KubeObject, ObjectName } from '../ports.js';
import { microTime } from './micro-time.js';

export interface LeaseTiming {
  /** Others wait so long after the last renewal that they saw. */
  readonly durationMs: number;
  /** Without a renewal for so long we are leader no more; shorter than the duration. */
  readonly renewDeadlineMs: number;
  readonly renewEveryMs: number;
  /** How often one who waits looks. */
  readonly lookEveryMs: number;
}

/** Short, because a failover waits for it when the leader was on the node that died. */
export const defaultLeaseTiming: LeaseTiming = {
  durationMs: 12_000,
  renewDeadlineMs: 8_000,
  renewEveryMs: 3_000,
  lookEveryMs: 2_000,
};

export interface LeaderElectionOptions {
  readonly kube: KubeApi;
  readonly name: ObjectName;
  /** Unique to this process. */
  readonly identity: string;
  readonly timing: LeaseTiming;
  readonly logger: Logger;
}

interface Lease extends KubeObject {
  readonly spec?: {
    readonly holderIdentity?: string;
    readonly leaseDurationSeconds?: number;
    readonly acquireTime?: string;
    readonly renewTime?: string;
    readonly leaseTransitions?: number;
  };
}

/**
 * One leader at most, by a Lease. Nobody's clock is compared with another's:
 * who waits counts from when it last saw the Lease change, and the leader
 * counts from when it sent the last renewal that succeeded, both monotonic.
 */
export class LeaderElection {
  private readonly ending = new AbortController();
  private seen: { readonly version: string; readonly atMs: number } | undefined;
  private renewedAtMs: number | undefined;
  private written: Lease | undefined;

  constructor(private readonly options: LeaderElectionOptions) {}

  get isLeader(): boolean {
    const { renewedAtMs } = this;
    const { renewDeadlineMs } = this.options.timing;
    return renewedAtMs !== undefined && monotonicMs() - renewedAtMs < renewDeadlineMs;
  }

  /** Resolves to true once we are leader, to false when `stop` came first. */
  async acquire(): Promise<boolean> {
    const { timing, logger } = this.options;
    while (!this.isEnding) {
      const sentAtMs = monotonicMs();
      try {
        if (await this.tryAcquire()) {
          this.renewedAtMs = sentAtMs;
          return true;
        }
      } catch (thrown) {
        logger.info('cannot ask for the lead', { reason: toPxError(thrown).message });
      }
      await this.pause(timing.lookEveryMs * (0.8 + Math.random() * 0.4));
    }
    return false;
  }

  /** Renews until the lead is lost (resolves to true) or `stop` is called (false). */
  async hold(): Promise<boolean> {
    const { timing, logger } = this.options;
    while (!this.isEnding) {
      await this.pause(timing.renewEveryMs);
      if (this.isEnding) break;
      const sentAtMs = monotonicMs();
      try {
        const left = (this.renewedAtMs ?? 0) + timing.renewDeadlineMs - sentAtMs;
        if (!(await this.within(left, this.renew()))) return this.lose('another has it');
        this.renewedAtMs = sentAtMs;
      } catch (thrown) {
        logger.warn('cannot renew the lead', { reason: toPxError(thrown).message });
        if (!this.isLeader) return this.lose('it could not be renewed in time');
      }
    }
    return false;
  }

  /** Gives the lead back, so that the next one need not wait. */
  async stop(): Promise<void> {
    const held = this.isLeader;
    this.ending.abort();
    this.renewedAtMs = undefined;
    if (!held) return;
    try {
      const lease = await this.read();
      if (lease?.spec?.holderIdentity === this.options.identity) {
        await this.write(lease, { holderIdentity: '', leaseDurationSeconds: 1 });
      }
    } catch (thrown) {
      this.options.logger.info('the lead runs out by itself', {
        reason: toPxError(thrown).message,
      });
    }
  }

  private lose(reason: string): true {
    this.renewedAtMs = undefined;
    this.options.logger.error('lost the lead', { reason });
    return true;
  }

  private async tryAcquire(): Promise<boolean> {
    const { identity, timing, logger, name } = this.options;
    const lease = await this.read();
    const now = microTime(Date.now());
    const mine = {
      holderIdentity: identity,
      leaseDurationSeconds: Math.ceil(timing.durationMs / 1_000),
      acquireTime: now,
      renewTime: now,
    };
    if (lease === undefined) {
      const metadata = { name: name.name, namespace: name.namespace };
      const { apiVersion, kind } = resources.lease;
      const spec = { ...mine, leaseTransitions: 0 };
      await this.options.kube.create(resources.lease, {
        apiVersion,
        kind,
        metadata,
        spec,
      });
      return true;
    }
    const holder = lease.spec?.holderIdentity ?? '';
    const version = lease.metadata.resourceVersion ?? '';
    if (holder !== '' && holder !== identity) {
      if (this.seen?.version !== version) {
        if (this.seen === undefined) logger.info('waits for the lead', { holder });
        this.seen = { version, atMs: monotonicMs() };
      }
      const durationMs = (lease.spec?.leaseDurationSeconds ?? 0) * 1_000;
      if (monotonicMs() - this.seen.atMs < Math.max(durationMs, timing.durationMs)) return false;
      logger.warn('the leader is gone', { holder });
    }
    const leaseTransitions = (lease.spec?.leaseTransitions ?? 0) + 1;
    return this.write(lease, { ...mine, leaseTransitions });
  }

  /** What we wrote last is what there is, unless somebody else wrote: then it is looked at. */
  private async renew(): Promise<boolean> {
    if (this.written !== undefined && (await this.write(this.written, renewal()))) return true;
    const lease = await this.read();
    if (lease?.spec?.holderIdentity !== this.options.identity) return false;
    return this.write(lease, renewal());
  }

  private read(): Promise<Lease | undefined> {
    return this.options.kube.get<Lease>(resources.lease, this.options.name);
  }

  /** False when somebody else wrote first. */
  private async write(lease: Lease, spec: NonNullable<Lease['spec']>): Promise<boolean> {
    const metadata = { resourceVersion: lease.metadata.resourceVersion };
    try {
      const { kube, name } = this.options;
      this.written = await kube.patch<Lease>(resources.lease, name, { metadata, spec });
      return true;
    } catch (thrown) {
      this.written = undefined;
      if (toPxError(thrown).code === 'aborted') return false;
      throw thrown;
    }
  }

  /** The call itself may take longer than we may still call ourselves leader. */
  private async within<T>(leftMs: number, work: Promise<T>): Promise<T> {
    const timer = new AbortController();
    const late = sleep(Math.max(leftMs, 0), undefined, { signal: timer.signal }).then(() => {
      throw new Error('no answer in time');
    });
    late.catch(() => undefined);
    work.catch(() => undefined);
    try {
      return await Promise.race([work, late]);
    } finally {
      timer.abort();
    }
  }

  private async pause(waitMs: number): Promise<void> {
    await sleep(waitMs, undefined, { signal: this.ending.signal }).catch(() => undefined);
  }

  private get isEnding(): boolean {
    return this.ending.signal.aborted;
  }
}

function renewal(): NonNullable<Lease['spec']> {
  return { renewTime: microTime(Date.now()) };
}
