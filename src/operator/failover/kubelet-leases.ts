import type { KubeObject } from '../ports.js';

/** A kubelet's sign of life: a Lease of the node's name in kube-node-lease. */
export interface Lease extends KubeObject {
  readonly spec?: {
    readonly renewTime?: string;
    readonly holderIdentity?: string;
    readonly leaseDurationSeconds?: number;
  };
}

export const nodeLeaseNamespace = 'kube-node-lease';

interface Sighting {
  readonly renewTime: string | undefined;
  readonly seenAtMs: number;
  readonly renewals: number;
  readonly renewEveryMs: number;
}

/** The kubelet renews each quarter of the duration (nodeLeaseRenewIntervalFraction is 0.25). */
const renewFraction = 0.25;
const defaultDurationSeconds = 40;

/**
 * When each kubelet's lease was last SEEN to change, on this process's own
 * monotonic clock. The times that leases hold were written by other machines'
 * clocks and say nothing about how long ago that was here; Kubernetes' node
 * lifecycle controller judges the same way (probeTimestamp).
 *
 * A lease seen for the first time counts as renewed now: an operator that has
 * just started knows nothing, and must wait the whole silence before it judges.
 * So this watch should run in every replica of the operator, leader or not.
 */
export class KubeletLeases {
  readonly #sightings = new Map<string, Sighting>();
  readonly #nowMs: () => number;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  observe(lease: Lease): void {
    const before = this.#sightings.get(lease.metadata.name);
    const renewTime = lease.spec?.renewTime;
    if (before !== undefined && before.renewTime === renewTime) return;
    const durationSeconds = lease.spec?.leaseDurationSeconds ?? defaultDurationSeconds;
    this.#sightings.set(lease.metadata.name, {
      renewTime,
      seenAtMs: this.#nowMs(),
      renewals: before === undefined ? 0 : before.renewals + 1,
      renewEveryMs: durationSeconds * 1_000 * renewFraction,
    });
  }

  forget(nodeName: string): void {
    this.#sightings.delete(nodeName);
  }

  /** Undefined for a node whose lease was never seen: nothing is known of it. */
  silence(nodeName: string): KubeletSilence | undefined {
    const sighting = this.#sightings.get(nodeName);
    if (sighting === undefined) return undefined;
    return {
      silentMs: this.#nowMs() - sighting.seenAtMs,
      renewEveryMs: sighting.renewEveryMs,
      renewedSinceStart: sighting.renewals > 0,
    };
  }

  nodeNames(): readonly string[] {
    return [...this.#sightings.keys()];
  }
}

export interface KubeletSilence {
  readonly silentMs: number;
  readonly renewEveryMs: number;
  /** Whether a renewal was seen, not only the lease as it was found. */
  readonly renewedSinceStart: boolean;
}

/** A renewal may be a little late: the kubelet adds jitter and retries what fails. */
const lateness = 1.5;

/** Whether the kubelet was seen to live just now. */
export function isFresh(silence: KubeletSilence | undefined): boolean {
  return (
    silence !== undefined &&
    silence.renewedSinceStart &&
    silence.silentMs < silence.renewEveryMs * lateness
  );
}

/** Whether a renewal is overdue: worth a closer look, not yet a death. */
export function isOverdue(silence: KubeletSilence | undefined): boolean {
  return silence !== undefined && silence.silentMs > silence.renewEveryMs * 1.2;
}

/** Whether the kubelet has been silent for as long as the settings ask, and missed a renewal. */
export function isSilent(silence: KubeletSilence | undefined, silenceMs: number): boolean {
  return (
    silence !== undefined &&
    silence.silentMs >= Math.max(silenceMs, silence.renewEveryMs * lateness)
  );
}
