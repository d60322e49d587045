import { waitFor } from '../../../tools/lib/wait.js';
import type { KubernetesCluster } from '../cluster/cluster.js';
import { diskPath } from '../cluster/layout.js';
import { check } from '../runner/check.js';
import { release, systemNamespace } from './install-px.js';

/** Taking px away, and what there is afterwards. */
export const uninstallTimeoutMs = 330_000;
const inSystem = ['-n', systemNamespace];

export async function uninstall(cluster: KubernetesCluster): Promise<void> {
  await cluster.helm(['uninstall', release, ...inSystem], { timeoutMs: uninstallTimeoutMs });
}

/** What the release and its operator made, in the namespace and outside of it. */
export async function checkNoObjects(
  cluster: KubernetesCluster,
  expected: readonly string[],
): Promise<void> {
  const namespaced =
    'daemonsets,deployments,jobs,services,serviceaccounts,configmaps,secrets,roles,rolebindings,' +
    'poddisruptionbudgets,storageclusters,storagenodes';
  const outside = 'clusterroles,clusterrolebindings,csidrivers,storageclasses';
  await waitFor('end of what was made', 60_000, async () => {
    const inside = await cluster.kubectl(['get', namespaced, ...inSystem, '-o', 'name']);
    const rest = await cluster.kubectl(['get', outside, '-o', 'name']);
    const left = [
      ...inside
        .split('\n')
        .filter((name) => !/^$|kube-root-ca\.crt$|serviceaccount\/default$/.test(name)),
      ...rest.split('\n').filter((name) => /\/px-|pxd\.portworx\.com/.test(name)),
    ];
    check(left.join() === expected.join(), `still there: ${left.join(', ')}`);
    return true;
  });
}

function disksOf(cluster: KubernetesCluster): string[] {
  return Array.from({ length: cluster.options.disks }, (_, index) => diskPath(index + 1));
}

export async function checkNothingRuns(cluster: KubernetesCluster): Promise<void> {
  for (const { name } of cluster.nodes) {
    const sockets = await cluster.nodeExec(name, ['ls', '-A', '/run/px']);
    check(sockets.trim() === '', `${name} still has ${sockets} in /run/px`);
    const processes = await cluster.nodeExec(name, ['ps', '-eo', 'args']);
    const ours = processes
      .split('\n')
      .filter((line) => /px-(node|holder|ld)|engine\/main/.test(line));
    check(ours.length === 0, `${name} still runs ${ours.join('; ')}`);
  }
}

export async function checkDisks(cluster: KubernetesCluster, withData: boolean): Promise<void> {
  for (const { name } of cluster.nodes) {
    for (const disk of disksOf(cluster)) {
      const signatures = await cluster.nodeExec(name, ['wipefs', '--noheadings', disk]);
      check((signatures.trim() !== '') === withData, `${disk} of ${name} has "${signatures}"`);
    }
  }
}

/** Nothing tells any more that px was here. */
export async function checkNoState(cluster: KubernetesCluster): Promise<void> {
  for (const { name } of cluster.nodes) {
    const state = await cluster.nodeExec(name, ['ls', '-A', '/var/lib/px']);
    check(!/[a-z]\.|engine|holder/.test(state), `${name} still has ${state}`);
  }
}
