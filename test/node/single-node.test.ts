import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { connectNode, type NodeApi } from '../../src/platform/grpc-client.js';
import { runCommand } from '../../src/platform/run-command.js';
import { reservePorts } from '../../src/platform/testing-ports.js';

/**
 * One px-node as the smallest cluster: the internal kvdb, a directory pool,
 * loopback, nothing else started by hand.
 */
jest.setTimeout(120_000);

const main = path.resolve('dist/src/dataplane/node/main.js');
let startPort: number;
let directory: string;
let configFile: string;
let api: NodeApi;
const daemons: ChildProcess[] = [];

beforeAll(async () => {
  startPort = await reservePorts();
  directory = mkdtempSync(path.join(tmpdir(), 'px-one-'));
  mkdirSync(path.join(directory, 'pool'));
  configFile = writeConfig('config.json', {});
  api = connectNode(path.join(directory, 'run/px-node.sock'), {
    timeoutMs: 30_000,
    protoDir: path.resolve('proto'),
  });
});
afterAll(async () => {
  api.close();
  await runCommand(process.execPath, [main, 'stop', '--force', '--config', configFile], {
    timeoutMs: 60_000,
  });
  for (const daemon of daemons) daemon.kill('SIGKILL');
  rmSync(directory, { recursive: true, force: true });
});

function writeConfig(name: string, changes: Record<string, unknown>): string {
  const file = path.join(directory, name);
  const config = {
    clusterid: 'one',
    nodeName: 'one',
    mgtiface: '127.0.0.1',
    kvdb: 'internal',
    storage: { directory: path.join(directory, 'pool') },
    dataDir: path.join(directory, 'data'),
    runDir: path.join(directory, 'run'),
    startPort,
    ...changes,
  };
  writeFileSync(file, JSON.stringify(config));
  return file;
}

function start(file: string): ChildProcess {
  const daemon = spawn(process.execPath, [main, '--config', file], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  daemons.push(daemon);
  return daemon;
}

async function operational(): Promise<string> {
  for (;;) {
    const status = await api.GetStatus({}, { timeoutMs: 2_000 }).catch(() => undefined);
    if (status?.state === 'operational') return status.id;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function endOf(daemon: ChildProcess): Promise<{ code: number | null; log: string }> {
  let log = '';
  daemon.stderr?.on('data', (data: Buffer) => (log += data.toString()));
  const code = await new Promise<number | null>((resolve) => daemon.once('exit', resolve));
  return { code, log };
}

describe('a single px-node with the internal kvdb', () => {
  let nodeId: string;
  let volumeId: string;

  it('comes up by itself and makes a volume', async () => {
    start(configFile);
    nodeId = await operational();
    const volume = await api.CreateVolume({ name: 'v', spec: { size_bytes: 64 * 1024 * 1024 } });
    volumeId = volume.id;
    expect(volume).toMatchObject({ status: 'up', state: 'detached' });
    expect(volume.replicas.map((replica) => replica.node_id)).toEqual([nodeId]);
    const again = await api.CreateVolume({ name: 'v', spec: { size_bytes: 64 * 1024 * 1024 } });
    expect(again.id).toBe(volumeId);
    await expect(
      api.CreateVolume({ name: 'v', spec: { size_bytes: 128 * 1024 * 1024 } }),
    ).rejects.toMatchObject({ code: 'already_exists' });
    await expect(
      api.CreateVolume({ name: 'w', spec: { size_bytes: 1, replicas: 2 } }),
    ).rejects.toMatchObject({ code: 'resource_exhausted' });
  });

  it('serves metrics and health', async () => {
    const metrics = await (await fetch(`http://127.0.0.1:${startPort}/metrics`)).text();
    expect(metrics).toContain('px_cluster_status_nodes_online 1');
    expect(metrics).toContain('px_node_status_operational 1');
    expect(metrics).toMatch(/px_volume_status\{.*volumename="v".*\} 1/);
    expect(metrics).toMatch(/px_pool_stats_total_bytes\{.*\} \d+/);
    const health = await fetch(`http://127.0.0.1:${startPort}/healthz`);
    expect(health.status).toBe(200);
  });

  it('is itself again after a kill -9, with etcd, holder and engine untouched', async () => {
    const attached = await api.AttachVolume({ id_or_name: 'v', frontend: 'nbd' });
    expect(attached.nbd_uri).not.toBe('');
    const etcd = await processOf(`--data-dir=${path.join(directory, 'data', 'etcd')}`);
    const engine = await processOf('dataplane/engine/main.js', path.join(directory, 'run'));
    daemons[0]?.kill('SIGKILL');
    await new Promise((resolve) => daemons[0]?.once('exit', resolve));
    start(configFile);
    expect(await operational()).toBe(nodeId);
    expect(await processOf(`--data-dir=${path.join(directory, 'data', 'etcd')}`)).toBe(etcd);
    expect(await processOf('dataplane/engine/main.js', path.join(directory, 'run'))).toBe(engine);
    const volume = await api.GetVolume({ id_or_name: 'v' });
    expect(volume).toMatchObject({ id: volumeId, state: 'attached', epoch: attached.epoch });
    await api.DetachVolume({ id_or_name: 'v' });
    expect((await api.GetVolume({ id_or_name: 'v' })).state).toBe('detached');
  });

  it('refuses a second daemon on the same directories', async () => {
    const second = start(writeConfig('second.json', { runDir: path.join(directory, 'run2') }));
    const { code, log } = await endOf(second);
    expect(code).toBe(1);
    expect(log).toMatch(/served by another daemon|already listens/);
    expect((await api.GetStatus({})).state).toBe('operational');
  });

  it('refuses a data directory of another cluster', async () => {
    const other = start(writeConfig('other.json', { clusterid: 'other' }));
    const { code, log } = await endOf(other);
    expect(code).toBe(1);
    expect(log).toContain('belongs to cluster \\"one\\"');
  });

  it('says which field of the configuration is wrong', async () => {
    const { code, log } = await endOf(start(writeConfig('bad.json', { startPort: 'x' })));
    expect(code).toBe(1);
    expect(log).toContain('startPort');
  });

  it('takes snapshots, clones, and deletes what nobody uses', async () => {
    const snapshot = await api.CreateSnapshot({ volume_id_or_name: 'v', name: 's' });
    expect(snapshot).toMatchObject({ read_only: true, parent_id: volumeId, status: 'up' });
    const clone = await api.CloneVolume({
      source_id_or_name: 's',
      name: 'c',
      size_bytes: 128 * 1024 * 1024,
    });
    expect(clone.spec?.size_bytes).toBe(String(128 * 1024 * 1024));
    expect((await api.CheckVolume({ id_or_name: 'c' })).equal).toBe(true);
    await expect(api.ResizeVolume({ id_or_name: 'c', size_bytes: 4096 })).rejects.toMatchObject({
      code: 'out_of_range',
    });
    await api.PublishVolume({ id_or_name: 'c', node_id: nodeId });
    await expect(api.DeleteVolume({ id_or_name: 'c' })).rejects.toMatchObject({
      code: 'failed_precondition',
    });
    await api.UnpublishVolume({ id_or_name: 'c', node_id: nodeId });
    for (const name of ['c', 's', 'v', 'never-there']) await api.DeleteVolume({ id_or_name: name });
    expect((await api.ListVolumes({})).volumes).toEqual([]);
    await expect(api.GetVolume({ id_or_name: 'v' })).rejects.toMatchObject({ code: 'not_found' });
  });

  it('ends everything of the node when told to', async () => {
    await runCommand(process.execPath, [main, 'stop', '--config', configFile], {
      timeoutMs: 60_000,
    });
    expect(await processOf(directory)).toBe(0);
  });
});

/** The process whose command line holds all of these texts; 0 when there is none. */
async function processOf(...texts: string[]): Promise<number> {
  const { readdir } = await import('node:fs/promises');
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    let command = '';
    try {
      command = readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ');
    } catch {
      continue;
    }
    if (texts.every((text) => command.includes(text))) return Number(name);
  }
  return 0;
}
