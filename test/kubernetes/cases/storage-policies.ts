import type { StoragePolicyResource } from '../../../src/crds/storage-policy.js';
import { waitFor } from '../../../tools/lib/wait.js';
import type { KubernetesCluster } from '../cluster/cluster.js';
import { check } from '../runner/check.js';
import type { CaseHelpers, KubernetesCase } from '../runner/types.js';
import { ensurePx, pxImages } from '../px/install-px.js';
import { waitNothingLeft } from '../px/leftovers.js';
import { claim, storageClass } from '../px/objects.js';

const patienceMs = 120_000;
const className = 'governed';
const attributesClass = 'limited';

function policy(name: string, spec: object): object {
  return {
    apiVersion: 'core.libopenstorage.org/v1',
    kind: 'StoragePolicy',
    metadata: { name },
    spec,
  };
}

async function status(cluster: KubernetesCluster, name: string) {
  return (await cluster.get<StoragePolicyResource>(['storagepolicy', name])).status;
}

/** Waits until the status of the policy is so. */
async function becomes(
  cluster: KubernetesCluster,
  name: string,
  what: string,
  isSo: (told: NonNullable<StoragePolicyResource['status']>) => boolean,
): Promise<void> {
  await waitFor(`policy ${name}: ${what}`, patienceMs, async () => {
    const told = await status(cluster, name);
    return told !== undefined && isSo(told) ? true : undefined;
  });
}

const conditionIs = (
  told: NonNullable<StoragePolicyResource['status']>,
  type: string,
  wanted: string,
): boolean => told.conditions?.some((one) => one.type === type && one.status === wanted) ?? false;

/** Claims under a policy that an administrator applies, changes and takes away. */
async function governClaims(cluster: KubernetesCluster, helpers: CaseHelpers): Promise<void> {
  const { namespace } = helpers;
  const volume = {
    replication: { value: 2, operator: 'Minimum' },
    size: { value: '2Gi', operator: 'Minimum' },
  };
  await cluster.apply(
    policy('gold', { volume }),
    storageClass(className, { storagepolicy: 'gold', repl: '1' }),
  );
  await becomes(cluster, 'gold', 'applied', (told) => conditionIs(told, 'Applied', 'True'));
  await helpers.step('a claim becomes what its policy demands', async () => {
    await cluster.apply(claim(namespace, 'data', { storageClassName: className }));
    const bound = 'jsonpath={.status.phase}=Bound';
    await cluster.waitFor(['pvc/data', '-n', namespace], bound, patienceMs);
    const { status: is } = await cluster.get<{ status: { capacity: { storage: string } } }>([
      ...['pvc', 'data', '-n', namespace],
    ]);
    check(is.capacity.storage === '2Gi', `the claim has ${is.capacity.storage}, 2Gi are demanded`);
    await becomes(cluster, 'gold', 'one volume', ({ governed }) => governed === 1);
  });
  await helpers.step('a change is brought to the volume that lives', async () => {
    const more = { ...volume, replication: { value: 3, operator: 'Minimum' } };
    await cluster.apply(policy('gold', { volume: more }));
    await becomes(cluster, 'gold', 'a violation', ({ violations }) =>
      (violations ?? []).some(({ rule }) => rule === 'volume.replication'),
    );
    await cluster.apply(policy('gold', { volume: more, allowUpdate: true }));
    await becomes(cluster, 'gold', 'no violation', (told) =>
      conditionIs(told, 'Compliant', 'True'),
    );
  });
}

async function refuseSecondDefault(cluster: KubernetesCluster): Promise<void> {
  await cluster.apply(policy('first', { default: true }));
  await becomes(cluster, 'first', 'applied', (told) => conditionIs(told, 'Applied', 'True'));
  await cluster.apply(policy('second', { default: true }));
  await becomes(cluster, 'second', 'refused', (told) => conditionIs(told, 'Applied', 'False'));
  await cluster.kubectl(['delete', 'storagepolicy', 'first']);
  await becomes(cluster, 'second', 'applied', (told) => conditionIs(told, 'Applied', 'True'));
  await cluster.kubectl(['delete', 'storagepolicy', 'second']);
}

/** A class of attributes for a claim that is bound. */
async function modifyClaim(cluster: KubernetesCluster, namespace: string): Promise<void> {
  await cluster.apply({
    apiVersion: 'storage.k8s.io/v1',
    kind: 'VolumeAttributesClass',
    metadata: { name: attributesClass },
    driverName: 'pxd.portworx.com',
    parameters: { io_throttle_wr_iops: '500', repl: '3' },
  });
  const patch = JSON.stringify({ spec: { volumeAttributesClassName: attributesClass } });
  await cluster.kubectl(['patch', 'pvc', 'data', '-n', namespace, '-p', patch]);
  const current = `jsonpath={.status.currentVolumeAttributesClassName}=${attributesClass}`;
  await cluster.waitFor(['pvc/data', '-n', namespace], current, patienceMs);
}

/** StoragePolicy and VolumeAttributesClass, from the objects down to the volumes. */
export const storagePolicies: KubernetesCase = {
  name: 'storage-policies',
  timeoutMs: 10 * 60_000,
  images: pxImages,
  run: async (cluster, helpers) => {
    await ensurePx(cluster, helpers);
    const { namespace } = helpers;
    await governClaims(cluster, helpers);
    await helpers.step('of two defaults one is refused, until the other goes', () =>
      refuseSecondDefault(cluster),
    );
    await helpers.step('a VolumeAttributesClass changes a bound claim', () =>
      modifyClaim(cluster, namespace),
    );
    await cluster.kubectl(['delete', 'pvc', 'data', '-n', namespace]);
    await waitNothingLeft(cluster, patienceMs);
    await cluster.kubectl(['delete', 'storagepolicy', 'gold']);
    await cluster.kubectl(['delete', 'storageclass', className]);
    await cluster.kubectl(['delete', 'volumeattributesclass', attributesClass]);
  },
};
