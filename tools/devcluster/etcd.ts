import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { run, tryRun } from '../lib/run.js';
import { waitFor } from '../lib/wait.js';
import type { ClusterLayout } from './layout.js';
import { clusterProcesses, kindOf, spawnDetached } from './processes.js';

function inHub(cluster: ClusterLayout, args: readonly string[]): string[] {
  return cluster.hubNamespace === ''
    ? [...args]
    : ['nsenter', `--net=/run/netns/${cluster.hubNamespace}`, '--', ...args];
}

/** One real etcd at the hub; started again, it finds its data. */
export async function startEtcd(cluster: ClusterLayout): Promise<void> {
  const alive = (await clusterProcesses(cluster)).some((p) => kindOf(p.command) === 'etcd');
  if (!alive) {
    await mkdir(cluster.etcdDir, { recursive: true, mode: 0o700 });
    const peerUrl = `http://${cluster.hubAddress}:2380`;
    spawnDetached({
      cluster,
      nodeName: 'hub',
      namespace: cluster.hubNamespace,
      command: 'etcd',
      args: [
        ...['--name', 'dev', '--data-dir', cluster.etcdDir],
        ...['--listen-client-urls', cluster.etcdUrl, '--advertise-client-urls', cluster.etcdUrl],
        ...['--listen-peer-urls', peerUrl, '--initial-advertise-peer-urls', peerUrl],
        ...['--initial-cluster', `dev=${peerUrl}`, '--log-level', 'warn'],
      ],
      logFile: path.join(cluster.dir, 'etcd.log'),
    });
  }
  const [command = '', ...args] = inHub(cluster, ['etcdctl', 'endpoint', 'health']);
  await waitFor('healthy etcd', 20_000, async () => {
    const answer = await tryRun(command, [...args, '--endpoints', cluster.etcdUrl], {
      timeoutMs: 5000,
      env: { ETCDCTL_API: '3' },
    });
    return answer.code === 0 ? true : undefined;
  });
}

/** Runs etcdctl against the cluster's etcd. */
export async function etcdctl(cluster: ClusterLayout, args: readonly string[]): Promise<string> {
  const [command = '', ...rest] = inHub(cluster, ['etcdctl', ...args]);
  return run(command, [...rest, '--endpoints', cluster.etcdUrl], {
    timeoutMs: 10_000,
    env: { ETCDCTL_API: '3' },
  });
}
