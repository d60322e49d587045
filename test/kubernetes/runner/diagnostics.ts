import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { tryRun } from '../../../tools/lib/run.js';
import type { KubernetesCluster } from '../cluster/cluster.js';

const questions: Readonly<Record<string, readonly string[]>> = {
  objects: ['get', 'all,pv,pvc,volumeattachments,nodes', '-A', '-o', 'wide'],
  events: ['get', 'events', '-A', '--sort-by=.lastTimestamp'],
  pods: ['describe', 'pods', '-A'],
  nodes: ['describe', 'nodes'],
};

interface PodList {
  readonly items: readonly {
    readonly metadata: { readonly name: string; readonly namespace: string };
  }[];
}

/** Keeps what a person would ask for after a failed case; never fails itself. */
export async function collectDiagnostics(cluster: KubernetesCluster, dir: string): Promise<void> {
  await mkdir(dir, { recursive: true });
  for (const [name, args] of Object.entries(questions)) {
    const answer = await cluster.tryKubectl(args, { timeoutMs: 30_000 });
    await writeFile(path.join(dir, `${name}.txt`), answer.stdout + answer.stderr);
  }
  const listed = await cluster.tryKubectl(['get', 'pods', '-A', '-o', 'json']);
  const pods = listed.code === 0 ? (JSON.parse(listed.stdout) as PodList).items : [];
  for (const { metadata } of pods) {
    const { name, namespace } = metadata;
    const where = ['logs', '-n', namespace, name, '--all-containers', '--prefix', '--tail=2000'];
    const now = await cluster.tryKubectl(where, { timeoutMs: 20_000 });
    const before = await cluster.tryKubectl([...where, '--previous'], { timeoutMs: 20_000 });
    const text = `${before.stdout}--- the present containers\n${now.stdout}${now.stderr}`;
    await writeFile(path.join(dir, `pod-${namespace}-${name}.log`), text);
  }
  const logs: [string, string][] = [[cluster.layout.logDir, 'control-plane']];
  for (const node of cluster.nodes) {
    logs.push([path.join(node.rootDir, 'var/log'), node.name]);
  }
  for (const [from, to] of logs) {
    const target = path.join(dir, to);
    await mkdir(target, { recursive: true });
    // The ends are enough, and a kubelet's log grows by megabytes.
    const script = 'cd "$0" && for f in *.log; do tail -n 4000 "$f" > "$1/$f"; done';
    await tryRun('sh', ['-c', script, from, target]);
  }
}
