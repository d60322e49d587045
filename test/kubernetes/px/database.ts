import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { waitFor } from '../../../tools/lib/wait.js';
import type { KubernetesCluster } from '../cluster/cluster.js';

const password = 'a-test-only';
const pod = 'postgresql-0';
const connection =
  'host=postgresql user=postgres dbname=postgres connect_timeout=2 tcp_user_timeout=3000';

/**
 * Inserts one row after the other over the network, as a user's program does.
 * A number is printed, with the time, once its commit was acknowledged; one
 * whose answer got lost is sent again.
 */
const writerScript = `
psql -qc 'create table if not exists rows (n bigint primary key)' "$DB" || exit 1
n=1
while :; do
  if psql -qc "insert into rows values ($n) on conflict do nothing" "$DB" 2>>/tmp/errors; then
    echo "$n $(date +%s%3N)"; n=$((n+1))
  else sleep 0.1; fi
done`;

/** PostgreSQL as deploy/examples has it, and a program that writes to it. */
export class DatabaseUnderLoad {
  constructor(
    private readonly cluster: KubernetesCluster,
    private readonly namespace: string,
  ) {}

  async deploy(rootDir: string): Promise<void> {
    const { cluster, namespace } = this;
    const example = await readFile(path.join(rootDir, 'deploy/examples/postgresql.yaml'), 'utf8');
    const secret = [
      'create',
      'secret',
      'generic',
      'postgresql',
      `--from-literal=password=${password}`,
    ];
    await cluster.kubectl(['-n', namespace, ...secret]);
    await cluster.applyYaml(example, ['-n', namespace]);
    await cluster.waitFor(
      'statefulset/postgresql',
      'jsonpath={.status.readyReplicas}=1',
      180_000,
      namespace,
    );
    // The image's own start-up writes pg_hba.conf without an fsync: a crash in the
    // next half minute takes its last line along, on any file system.
    await cluster.kubectl(['exec', '-n', namespace, pod, '--', 'sync']);
  }

  /** The node that the database runs on. */
  async node(): Promise<string> {
    const name = ['get', 'pod', '-n', this.namespace, pod, '-o', 'jsonpath={.spec.nodeName}'];
    return (await this.cluster.kubectl(name)).trim();
  }

  /** On a node that stays: the writer must live to tell what was acknowledged. */
  async startWriter(node: string): Promise<void> {
    const { cluster, namespace } = this;
    await cluster.apply({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'writer', namespace },
      spec: {
        nodeName: node,
        restartPolicy: 'OnFailure',
        terminationGracePeriodSeconds: 1,
        containers: [
          {
            name: 'writer',
            image: 'docker.io/library/postgres:15-bookworm',
            imagePullPolicy: 'IfNotPresent',
            command: ['bash', '-c', writerScript],
            env: [
              { name: 'PGPASSWORD', value: password },
              { name: 'DB', value: connection },
            ],
          },
        ],
      },
    });
    await waitFor('first acknowledged rows', 60_000, async () =>
      (await this.acknowledged()).length >= 5 ? true : undefined,
    );
  }

  /** Every acknowledged row with the time of its acknowledgement, in milliseconds. */
  async acknowledged(): Promise<readonly { row: number; atMs: number }[]> {
    const log = await this.cluster.tryKubectl(['logs', '-n', this.namespace, 'writer']);
    return log.stdout
      .split('\n')
      .map((line) => /^(\d+) (\d+)$/.exec(line))
      .filter((match) => match !== null)
      .map((match) => ({ row: Number(match[1]), atMs: Number(match[2]) }));
  }

  /** The first row that was acknowledged after a moment. */
  async firstAfter(momentMs: number, timeoutMs: number): Promise<number> {
    return waitFor(
      'acknowledged row',
      timeoutMs,
      async () => (await this.acknowledged()).find(({ atMs }) => atMs > momentMs)?.atMs,
    );
  }

  /** What of the acknowledged rows the database does not have. */
  async lostRows(): Promise<readonly number[]> {
    const acknowledged = await this.acknowledged();
    const ask = ['exec', '-n', this.namespace, pod, '--', 'psql', '-U', 'postgres', '-Atc'];
    const answer = await this.cluster.kubectl([...ask, 'select n from rows']);
    const there = new Set(answer.trim().split('\n').map(Number));
    return acknowledged.map(({ row }) => row).filter((row) => !there.has(row));
  }

  async stop(): Promise<void> {
    const { cluster, namespace } = this;
    const quick = { timeoutMs: 120_000 };
    await cluster.kubectl(
      ['delete', 'pod', '-n', namespace, 'writer', '--ignore-not-found'],
      quick,
    );
    await cluster.kubectl(['delete', 'statefulset,service', '-n', namespace, 'postgresql'], quick);
    await cluster.kubectl(['delete', 'pvc', '-n', namespace, '--all'], quick);
  }
}
