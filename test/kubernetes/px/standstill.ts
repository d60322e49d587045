import type { KubernetesCluster } from '../cluster/cluster.js';
import { check } from '../runner/check.js';

/** Command lines of px's programs in a node, as `pkill -f` matches them. */
export const pxPrograms = {
  node: '/px-node --config-dir',
  csiNode: '/px-csi --mode=node',
  csi: '/px-csi --mode=',
} as const;

/** Sends a signal to programs of all nodes, in whichever containers they run. */
export async function signalEverywhere(
  cluster: KubernetesCluster,
  signal: string,
  match: readonly string[],
): Promise<void> {
  const sent = await Promise.all(
    cluster.nodes.map(({ name }) => cluster.tryNodeExec(name, ['pkill', `-${signal}`, ...match])),
  );
  check(
    sent.some(({ code }) => code === 0),
    `no process got ${signal}: ${match.join(' ')}`,
  );
}

/**
 * Keeps a program from running: what it is asked for from now on is neither
 * refused nor answered, thus under way for whoever asks.
 */
export function standStill(cluster: KubernetesCluster, program: string): Promise<void> {
  return signalEverywhere(cluster, 'STOP', ['-f', program]);
}

/** Those that were killed or replaced meanwhile need it no more. */
export async function goOn(cluster: KubernetesCluster, program: string): Promise<void> {
  for (const { name } of cluster.nodes) {
    await cluster.tryNodeExec(name, ['pkill', '-CONT', '-f', program]);
  }
}
