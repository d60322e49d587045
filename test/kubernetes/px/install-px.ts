import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { runCommand } from '../../../src/platform/run-command.js';
import type { KubernetesCluster } from '../cluster/cluster.js';
import { diskPath } from '../cluster/layout.js';
import type { CaseHelpers } from '../runner/types.js';

export const release = 'px';
export const systemNamespace = 'portworx';
export const storageCluster = 'px-cluster';

/** What a case with px on the cluster needs in its nodes. */
export const pxImages: readonly string[] = [
  'px',
  'csi-provisioner',
  'csi-attacher',
  'csi-resizer',
  'csi-snapshotter',
  'snapshot-controller',
];

const installTimeoutMs = 300_000;
const snapshotClient = 'github.com/kubernetes-csi/external-snapshotter/client/v8';

/** Values for `helm install`: the disks of the test's nodes, the rest as a user has it. */
export function chartValues(cluster: KubernetesCluster): Record<string, unknown> {
  const disks = Array.from({ length: cluster.options.disks }, (_, index) => diskPath(index + 1));
  return {
    clusterName: storageCluster,
    drives: disks.join(';'),
    csi: { enabled: true, installSnapshotController: true, topology: { enabled: true } },
    runtimeOptions: 'log-level=debug',
  };
}

/** Installs px as the README says, unless an earlier case did, and waits until it runs. */
export async function ensurePx(cluster: KubernetesCluster, helpers: CaseHelpers): Promise<void> {
  const there = await cluster.tryHelm(['status', release, '-n', systemNamespace]);
  if (there.code !== 0) {
    await installSnapshotApi(cluster, helpers.rootDir);
    await helpers.step('helm install', () => helmInstall(cluster, helpers.rootDir));
  }
  await helpers.step('the StorageCluster runs', () => waitRunning(cluster));
}

/** The API of snapshots is Kubernetes' own add-on, which a distribution brings; here from its module. */
export async function installSnapshotApi(
  cluster: KubernetesCluster,
  rootDir: string,
): Promise<void> {
  const cwd = path.join(rootDir, 'test/kubernetes/tools/external-snapshotter');
  const asked = await runCommand('go', ['list', '-m', '-f', '{{.Dir}}', snapshotClient], {
    cwd,
    timeoutMs: 120_000,
  });
  const crdDir = path.join(asked.stdout.trim(), 'config/crd');
  if (!existsSync(crdDir)) throw new Error(`no definitions of snapshots in ${crdDir}`);
  for (const kind of ['classes', 'contents', 's']) {
    const file = `snapshot.storage.k8s.io_volumesnapshot${kind}.yaml`;
    await cluster.applyYaml(await readFile(path.join(crdDir, file), 'utf8'), ['--server-side']);
  }
}

async function helmInstall(cluster: KubernetesCluster, rootDir: string): Promise<void> {
  const chart = path.join(rootDir, 'deploy/helm');
  const where = ['--namespace', systemNamespace, '--create-namespace'];
  await cluster.helm(['install', release, chart, ...where, '--values', '-'], {
    input: JSON.stringify(chartValues(cluster)),
    timeoutMs: installTimeoutMs,
  });
}

export async function waitRunning(
  cluster: KubernetesCluster,
  timeoutMs = installTimeoutMs,
): Promise<void> {
  const object = `storagecluster/${storageCluster}`;
  const where = ['-n', systemNamespace];
  await cluster.waitFor([object, ...where], 'jsonpath={.status.phase}=Running', timeoutMs);
}
