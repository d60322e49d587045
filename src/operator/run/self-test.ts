import { createHash, randomBytes } from 'node:crypto';
import { open, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { resources } from '../../crds/resources.js';
import type { StorageCluster } from '../../crds/storage-cluster.js';
import { PxError } from '../../kernel/errors.js';
import type { KubeApi } from '../ports.js';

export interface SelfTestOptions {
  readonly kube: KubeApi;
  readonly driverName: string;
  readonly namespace: string;
  /** Where the pod has the volume of a claim. */
  readonly volumeDir: string;
  readonly say: (text: string) => void;
}

const sizeBytes = 4 * 1024 * 1024;

/**
 * `px-operator self-test`, run by `helm test` in a pod with a claim: that the pod
 * runs at all shows that a volume was provisioned, attached and mounted.
 */
export async function selfTest(options: SelfTestOptions): Promise<void> {
  const { kube, driverName, namespace, say } = options;
  const clusters = await kube.list<StorageCluster>(resources.storageCluster, { namespace });
  const [cluster] = clusters;
  if (cluster === undefined) {
    throw new PxError('failed_precondition', `there is no StorageCluster in ${namespace}`);
  }
  const { phase, reason } = cluster.status ?? {};
  // A cluster that is degraded serves, and whoever tests an installation wants to know.
  if (phase !== 'Running') {
    throw new PxError(
      'failed_precondition',
      `the StorageCluster ${cluster.metadata.name} is ${phase ?? 'not set up'}: ${reason ?? ''}`,
    );
  }
  say(`the StorageCluster ${cluster.metadata.name} is Running`);
  if ((await kube.get(resources.csiDriver, { name: driverName })) === undefined) {
    throw new PxError('failed_precondition', `the CSI driver ${driverName} is not registered`);
  }
  say(`the CSI driver ${driverName} is registered`);
  await writeAndRead(options.volumeDir);
  say('a volume was provisioned and mounted, written to and read from');
}

async function writeAndRead(dir: string): Promise<void> {
  const file = path.join(dir, 'px-self-test');
  const data = randomBytes(sizeBytes);
  const handle = await open(file, 'w');
  try {
    await handle.writeFile(data);
    await handle.sync();
  } finally {
    await handle.close();
  }
  const same = digest(await readFile(file)) === digest(data);
  await rm(file);
  if (!same) throw new PxError('io_error', `${file} was read otherwise than it was written`);
}

function digest(data: Buffer): string {
  return createHash('sha256').update(data).digest('hex');
}
