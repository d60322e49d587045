import { resources } from '../../crds/resources.js';
import { toPxError } from '../../kernel/errors.js';
import type { KubeObject, OperatorContext } from '../ports.js';
import { names } from '../storage-cluster/names.js';
import type { WorkloadPod } from '../workloads.js';
import type { Lease } from './kubelet-leases.js';

/**
 * Ends the leadership of our own controllers that died with a node. A volume is
 * attached elsewhere by the CSI controller, and the one that waits would wait for
 * the whole lease of the dead one first (15 s by client-go's default). An empty
 * holder is how client-go itself gives a lease back (ReleaseOnCancel).
 */
export async function releaseLeases(
  { kube, namespace, logger }: Pick<OperatorContext, 'kube' | 'namespace' | 'logger'>,
  nodeName: string,
): Promise<void> {
  // In this order: whoever holds a lease that was read is among the pods read after it.
  const leases = await kube.list<Lease>(resources.lease, { namespace });
  const pods = await kube.list<WorkloadPod>(resources.pod, { namespace });
  for (const { metadata, spec } of leasesOfTheDead(leases, pods, nodeName)) {
    const { name, resourceVersion } = metadata;
    try {
      await kube.patch<KubeObject>(
        resources.lease,
        { namespace, name },
        { metadata: { resourceVersion }, spec: { holderIdentity: '' } },
      );
      logger.info('the lease of a dead controller is free', { name, was: spec?.holderIdentity });
    } catch (thrown) {
      // Taken or renewed in between: then somebody leads.
      const error = toPxError(thrown);
      if (error.code !== 'aborted' && error.code !== 'not_found') throw error;
    }
  }
}

/** Those that a pod of ours holds which is on this node, or is gone already. */
export function leasesOfTheDead(
  leases: readonly Lease[],
  pods: readonly WorkloadPod[],
  nodeName: string,
): readonly Lease[] {
  const alive = new Set(
    pods.filter(({ spec }) => spec?.nodeName !== nodeName).map(({ metadata }) => metadata.name),
  );
  return leases.filter(({ spec }) => {
    const holder = spec?.holderIdentity ?? '';
    const isOurs = [names.csiController, names.snapshotController].some((name) =>
      holder.startsWith(`${name}-`),
    );
    return isOurs && !alive.has(holder);
  });
}
