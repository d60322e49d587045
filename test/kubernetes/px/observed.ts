import { waitFor } from '../../../tools/lib/wait.js';
import type { KubernetesCluster } from '../cluster/cluster.js';

interface Meta {
  readonly name: string;
  readonly namespace?: string;
  readonly uid: string;
  readonly deletionTimestamp?: string;
  readonly finalizers?: readonly string[];
  readonly annotations?: Readonly<Record<string, string>>;
}

interface Named {
  readonly kind: string;
  readonly metadata: Meta;
}

export interface Claim extends Named {
  readonly kind: 'PersistentVolumeClaim';
  readonly spec: { readonly volumeName?: string };
  readonly status?: {
    readonly phase?: string;
    readonly capacity?: { readonly storage?: string };
    readonly allocatedResourceStatuses?: { readonly storage?: string };
  };
}

export interface Pod extends Named {
  readonly kind: 'Pod';
  readonly spec: {
    readonly nodeName?: string;
    readonly volumes?: readonly { persistentVolumeClaim?: { readonly claimName: string } }[];
  };
  readonly status?: {
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    readonly containerStatuses?: readonly {
      readonly restartCount: number;
      readonly state?: { readonly terminated?: object };
    }[];
  };
}

interface Snapshot extends Named {
  readonly kind: 'VolumeSnapshot';
  readonly status?: { readonly readyToUse?: boolean };
}

interface SnapshotContent extends Named {
  readonly kind: 'VolumeSnapshotContent';
  readonly spec: { readonly volumeSnapshotRef: { readonly namespace: string; name: string } };
  readonly status?: { readonly snapshotHandle?: string };
}

export interface Volume extends Named {
  readonly kind: 'PersistentVolume';
  readonly spec: {
    readonly claimRef?: { readonly namespace: string; readonly name: string };
    readonly csi?: { readonly volumeHandle: string };
  };
}

export interface Attachment extends Named {
  readonly kind: 'VolumeAttachment';
  readonly spec: {
    readonly nodeName: string;
    readonly source: { readonly persistentVolumeName?: string };
  };
  readonly status?: { readonly attached?: boolean };
}

interface Event extends Named {
  readonly kind: 'Event';
  readonly reason: string;
  readonly involvedObject: { readonly uid?: string };
}

export type Observable = Claim | Pod | Snapshot | SnapshotContent | Volume | Attachment | Event;

const kinds =
  'persistentvolumeclaims,pods,volumesnapshots,volumesnapshotcontents,' +
  'persistentvolumes,volumeattachments,events';

export function isPodReady({ status }: Pod): boolean {
  return status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') === true;
}

/** What the API server has of one namespace, and of the volumes of all, at one moment. */
export class Observed {
  constructor(
    private readonly namespace: string,
    private readonly items: readonly Observable[],
  ) {}

  all<Kind extends Observable['kind']>(kind: Kind): Extract<Observable, { kind: Kind }>[] {
    return this.items.filter(
      (item): item is Extract<Observable, { kind: Kind }> => item.kind === kind,
    );
  }

  claim(name: string): Claim | undefined {
    return this.all('PersistentVolumeClaim').find(({ metadata }) => metadata.name === name);
  }

  pod(name: string): Pod | undefined {
    return this.all('Pod').find(({ metadata }) => metadata.name === name);
  }

  snapshot(name: string): Snapshot | undefined {
    return this.all('VolumeSnapshot').find(({ metadata }) => metadata.name === name);
  }

  /** The names of what a user has made. */
  get userObjects(): string[] {
    const made = new Set(['PersistentVolumeClaim', 'Pod', 'VolumeSnapshot']);
    return this.items.filter(({ kind }) => made.has(kind)).map(({ metadata }) => metadata.name);
  }

  /** Also of a snapshot that is gone already. */
  contentOf(snapshot: string): SnapshotContent | undefined {
    return this.all('VolumeSnapshotContent').find(({ spec }) => {
      const { namespace, name } = spec.volumeSnapshotRef;
      return namespace === this.namespace && name === snapshot;
    });
  }

  /** Also of a claim that is gone already. */
  volumeOf(claim: string): Volume | undefined {
    return this.all('PersistentVolume').find(
      ({ spec }) => spec.claimRef?.namespace === this.namespace && spec.claimRef.name === claim,
    );
  }

  attachmentOf(claim: string): Attachment | undefined {
    const volume = this.volumeOf(claim)?.metadata.name;
    return this.all('VolumeAttachment').find(
      ({ spec }) => volume !== undefined && spec.source.persistentVolumeName === volume,
    );
  }

  hasEvent(object: Named | undefined, reason: string): boolean {
    return this.all('Event').some(
      (event) => event.involvedObject.uid === object?.metadata.uid && event.reason === reason,
    );
  }
}

/**
 * Looks at a cluster for many who wait at the same time: those who ask while a
 * look is under way share the next one, which shows what they have done before.
 */
export class Observer {
  private running: Promise<unknown> = Promise.resolve();
  private next: Promise<Observed> | undefined;

  constructor(
    private readonly cluster: KubernetesCluster,
    private readonly namespace: string,
  ) {}

  look(): Promise<Observed> {
    this.next ??= this.running
      .catch(() => undefined)
      .then(() => {
        this.next = undefined;
        const look = this.fetch();
        this.running = look;
        return look;
      });
    return this.next;
  }

  /** An observation of which something is true. */
  until(
    what: string,
    timeoutMs: number,
    isTrue: (observed: Observed) => boolean,
  ): Promise<Observed> {
    return waitFor(what, timeoutMs, async () => {
      const observed = await this.look();
      return isTrue(observed) ? observed : undefined;
    });
  }

  private async fetch(): Promise<Observed> {
    const args = [kinds, '-n', this.namespace];
    const { items } = await this.cluster.get<{ items: Observable[] }>(args);
    return new Observed(this.namespace, items);
  }
}
