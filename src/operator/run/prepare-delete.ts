import { resources } from '../../crds/resources.js';
import type { StorageCluster } from '../../crds/storage-cluster.js';
import { PxError } from '../../kernel/errors.js';
import { delay, monotonicMs } from '../../platform/monotonic.js';
import type { KubeApi } from '../ports.js';
import { pxClaims, type PersistentVolume, type VolumeAttachment } from '../workloads.js';

export interface PrepareDeleteOptions {
  readonly kube: KubeApi;
  readonly driverName: string;
  readonly namespace: string;
  readonly timeoutMs: number;
  /** Goes on although volumes are in use. */
  readonly ignoreAttached: boolean;
  readonly say: (text: string) => void;
}

const pollMs = 1_000;
const mostNamed = 5;

/**
 * `px-operator prepare-delete`: before the chart takes the operator away, the
 * StorageClusters must be gone, as nobody else could finish their deletion. What
 * would be refused half way is refused here, while nothing has been deleted.
 */
export async function prepareDelete(options: PrepareDeleteOptions): Promise<void> {
  const { kube, namespace, say, timeoutMs } = options;
  const clusters = await kube.list<StorageCluster>(resources.storageCluster, { namespace });
  if (clusters.length === 0) {
    say('there is no StorageCluster to delete');
    return;
  }
  for (const cluster of clusters) await refuseIfInUse(options, cluster);
  for (const { metadata } of clusters) {
    await kube.delete(resources.storageCluster, metadata);
    say(`deletes the StorageCluster ${metadata.name}`);
  }
  const deadline = monotonicMs() + timeoutMs;
  let said = '';
  for (;;) {
    const left = await kube.list<StorageCluster>(resources.storageCluster, { namespace });
    if (left.length === 0) break;
    const progress = left.map(
      ({ metadata, status }) => `${metadata.name}: ${status?.reason ?? ''}`,
    );
    if (progress.join('; ') !== said) say((said = progress.join('; ')));
    if (monotonicMs() > deadline) {
      throw new PxError(
        'deadline_exceeded',
        `after ${timeoutMs / 1_000} s the deletion is still at work: ${said}. ` +
          'It goes on; uninstall again when it is done',
      );
    }
    await delay(pollMs);
  }
  say('every StorageCluster is deleted');
}

async function refuseIfInUse(
  { kube, driverName, ignoreAttached }: PrepareDeleteOptions,
  cluster: StorageCluster,
): Promise<void> {
  const { name, namespace } = cluster.metadata;
  const attachments = await kube.list<VolumeAttachment>(resources.volumeAttachment);
  const attached = attachments
    .filter(({ spec }) => spec?.attacher === driverName)
    .map(({ spec }) => `${spec?.source?.persistentVolumeName ?? '?'} on ${spec?.nodeName ?? '?'}`);
  if (attached.length > 0 && !ignoreAttached) {
    throw new PxError(
      'failed_precondition',
      `volumes are in use: ${limited(attached)}. Without px nobody could unmount them: ` +
        'delete the pods that use them first',
    );
  }
  if (cluster.spec.deleteStrategy?.type !== 'UninstallAndWipe') return;
  const volumes = await kube.list<PersistentVolume>(resources.persistentVolume);
  const claims = [...pxClaims(volumes, driverName).keys()];
  if (claims.length === 0) return;
  throw new PxError(
    'failed_precondition',
    `the StorageCluster ${namespace ?? ''}/${name} says UninstallAndWipe, and the data of these ` +
      `claims would be lost: ${limited(claims)}. Delete the claims first, or take ` +
      'deleteStrategy out of the StorageCluster to keep the data',
  );
}

function limited(items: readonly string[]): string {
  const named = items.slice(0, mostNamed).join(', ');
  return items.length > mostNamed ? `${named} and ${items.length - mostNamed} more` : named;
}
