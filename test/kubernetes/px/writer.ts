import { readdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { waitFor } from '../../../tools/lib/wait.js';
import type { KubernetesCluster } from '../cluster/cluster.js';
import { busyboxImage, claim } from './objects.js';

/** On each node, outside of any volume: what was acknowledged outlives the pod, not the disk. */
const notesDir = '/var/log/px-writer';

/**
 * Writes one row after the other with an fsync each, and notes a row, with the
 * second, once that was acknowledged. It goes on where the volume's last row is.
 */
const script = (rows: RowsOfVolume): string => `
n=$(${rows.next})
while :; do
  if ${rows.append}; then
    echo "$n $(date +%s)" >> "/notes/$NAME.rows"; n=$((n+1))
  else echo "row $n at $(date +%s)" >> "/notes/$NAME.errors"; sleep 0.2; fi
  sleep 0.05
done`;

/** How rows lie on a volume, in the words of busybox's shell. */
interface RowsOfVolume {
  /** Prints the number of the first row that is not there. */
  readonly next: string;
  /** Writes row $n; fails unless that is durable. */
  readonly append: string;
  /** Prints the rows, one a line, and maybe more that is no number. */
  readonly list: string;
}

const inFile: RowsOfVolume = {
  next: `touch /data/rows; echo >> /data/rows;
    echo $(( $(grep -E '^[0-9]+$' /data/rows | tail -n 1) + 1 ))`,
  append: 'echo $n | dd of=/data/rows oflag=append conv=notrunc,fsync 2>/dev/null',
  list: 'cat /data/rows',
};

/** A block for each row, at the row's number. */
const onDevice: RowsOfVolume = {
  next: `n=1;
    while [ "$(dd if=/dev/data bs=4096 skip=$n count=1 2>/dev/null | tr -d '\\0 ')" = $n ];
    do n=$((n+1)); done; echo $n`,
  append: `printf '%-4095d\\n' $n |
    dd of=/dev/data bs=4096 iflag=fullblock seek=$n conv=notrunc,fsync 2>/dev/null`,
  list: "head -c 64m /dev/data | tr -d '\\0 '",
};

export interface Row {
  readonly row: number;
  /** In whole seconds. */
  readonly atSeconds: number;
}

/** A StatefulSet with one pod that writes to a px volume (`asDevice`: raw); it may run on any node. */
export class VolumeWriter {
  constructor(
    private readonly cluster: KubernetesCluster,
    private readonly namespace: string,
    readonly name: string,
    private readonly asDevice = false,
  ) {}

  private get rows(): RowsOfVolume {
    return this.asDevice ? onDevice : inFile;
  }

  get pod(): string {
    return `${this.name}-0`;
  }

  /** `node` is where it would rather run. */
  async deploy(storageClassName: string, node: string): Promise<void> {
    const { cluster, namespace, name } = this;
    const volumeMode = this.asDevice ? 'Block' : 'Filesystem';
    const { spec, metadata } = claim(namespace, 'data', { storageClassName, volumeMode }) as {
      spec: object;
      metadata: object;
    };
    await cluster.apply({
      apiVersion: 'apps/v1',
      kind: 'StatefulSet',
      metadata: { name, namespace },
      spec: {
        serviceName: name,
        replicas: 1,
        selector: { matchLabels: { app: name } },
        template: { metadata: { labels: { app: name } }, spec: this.podSpec(node) },
        volumeClaimTemplates: [{ metadata: { ...metadata, namespace: undefined }, spec }],
      },
    });
    await this.goesOn(120_000);
  }

  private podSpec(node: string): object {
    const { name, asDevice } = this;
    const expression = { key: 'kubernetes.io/hostname', operator: 'In', values: [node] };
    return {
      terminationGracePeriodSeconds: 1,
      affinity: {
        nodeAffinity: {
          preferredDuringSchedulingIgnoredDuringExecution: [
            { weight: 100, preference: { matchExpressions: [expression] } },
          ],
        },
      },
      containers: [
        {
          name: 'writer',
          image: busyboxImage,
          imagePullPolicy: 'IfNotPresent',
          command: ['sh', '-c', script(this.rows)],
          env: [{ name: 'NAME', value: name }],
          ...(asDevice && { volumeDevices: [{ name: 'data', devicePath: '/dev/data' }] }),
          volumeMounts: [
            { name: 'notes', mountPath: '/notes' },
            ...(asDevice ? [] : [{ name: 'data', mountPath: '/data' }]),
          ],
        },
      ],
      volumes: [{ name: 'notes', hostPath: { path: notesDir, type: 'DirectoryOrCreate' } }],
    };
  }

  /** The node that Kubernetes has its pod on; undefined while it has none. */
  async node(): Promise<string | undefined> {
    const path = 'jsonpath={.spec.nodeName}';
    const words = ['get', 'pod', '-n', this.namespace, this.pod, '-o', path, '--ignore-not-found'];
    const name = (await this.cluster.kubectl(words)).trim();
    return name === '' ? undefined : name;
  }

  async requireNode(): Promise<string> {
    const node = await this.node();
    if (node === undefined) throw new Error(`${this.pod} is on no node`);
    return node;
  }

  /** What was acknowledged on one node: read from its disk, whatever the node is about. */
  async acknowledgedOn(node: string): Promise<readonly Row[]> {
    const text = await this.notes(node, 'rows');
    return text
      .split('\n')
      .map((line) => /^(\d+) (\d+)$/.exec(line))
      .filter((match) => match !== null)
      .map((match) => ({ row: Number(match[1]), atSeconds: Number(match[2]) }));
  }

  async acknowledged(): Promise<readonly Row[]> {
    const all = await Promise.all(this.cluster.nodes.map(({ name }) => this.acknowledgedOn(name)));
    return all.flat().sort((a, b) => a.atSeconds - b.atSeconds || a.row - b.row);
  }

  /**
   * Writes that the application was told have failed since a moment, where it runs
   * now: one that was left behind on a fenced node must fail, until its kubelet ends it.
   */
  async errorsSince(momentSeconds: number): Promise<readonly string[]> {
    const lines = (await this.notes(await this.requireNode(), 'errors')).split('\n');
    return lines.filter((line) => Number(line.split(' at ')[1] ?? -1) >= momentSeconds);
  }

  private notes(node: string, kind: 'rows' | 'errors'): Promise<string> {
    const { rootDir } = this.cluster.node(node);
    const file = path.join(rootDir, notesDir, `${this.name}.${kind}`);
    return readFile(file, 'utf8').catch(() => '');
  }

  /** Until rows are acknowledged that were not before; answers the seconds of the first. */
  async goesOn(timeoutMs: number, where?: (node: string) => boolean): Promise<number> {
    const nodes = this.cluster.nodes.map(({ name }) => name).filter(where ?? (() => true));
    const read = async (): Promise<readonly Row[]> =>
      (await Promise.all(nodes.map((node) => this.acknowledgedOn(node)))).flat();
    const before = (await read()).length;
    const fresh = await waitFor(`new rows of ${this.name}`, timeoutMs, async () => {
      const now = await read();
      return now.length >= before + 3 ? now : undefined;
    });
    return Math.max(...fresh.map(({ atSeconds }) => atSeconds));
  }

  /** What was acknowledged and is not on the volume. */
  async lostRows(): Promise<readonly number[]> {
    const acknowledged = await this.acknowledged();
    const ask = ['exec', '-n', this.namespace, this.pod, '--', 'sh', '-c', this.rows.list];
    const there = new Set((await this.cluster.kubectl(ask)).split('\n').map(Number));
    return acknowledged.map(({ row }) => row).filter((row) => !there.has(row));
  }

  /** The longest time without an acknowledged row since a moment, in seconds. */
  async longestPauseSince(momentSeconds: number): Promise<number> {
    const times = (await this.acknowledged())
      .map(({ atSeconds }) => atSeconds)
      .filter((atSeconds) => atSeconds >= momentSeconds);
    return times.reduce((longest, at, index) => {
      return Math.max(longest, at - (times[index - 1] ?? momentSeconds));
    }, 0);
  }

  async remove(): Promise<void> {
    const { cluster, namespace, name } = this;
    const bound = { timeoutMs: 120_000 };
    await cluster.kubectl(['delete', 'statefulset', name, '-n', namespace], bound);
    await cluster.kubectl(
      ['delete', 'pod', this.pod, '-n', namespace, '--ignore-not-found'],
      bound,
    );
    await cluster.kubectl(['delete', 'pvc', `data-${this.pod}`, '-n', namespace], bound);
    for (const { rootDir } of cluster.nodes) {
      const dir = path.join(rootDir, notesDir);
      for (const file of await readdir(dir).catch(() => [])) {
        if (file.startsWith(`${name}.`)) await rm(path.join(dir, file));
      }
    }
  }
}
