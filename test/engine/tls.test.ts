import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EngineConfig } from '../../src/dataplane/engine/api.js';
import { runCommand } from '../../src/platform/run-command.js';
import { TestAuthority } from '../../src/platform/testing-certificates.js';
import { EngineCluster } from './engine-cluster.js';

jest.setTimeout(120_000);

const sizeBytes = 128 * 1024 * 1024;
/** The node whose certificate is of another authority. */
const stranger = 3;

describe('engines that speak TLS', () => {
  const certificates = mkdtempSync(join(tmpdir(), 'px-certs-'));
  let cluster: EngineCluster;
  beforeAll(async () => {
    const ours = new TestAuthority(join(certificates, 'ours'));
    const theirs = new TestAuthority(join(certificates, 'theirs'));
    const tls = (node: number) => (node === stranger ? theirs : ours).issue(`node${node}`);
    cluster = await EngineCluster.start({ nodes: 4, holder: false, tls });
  });
  afterAll(async () => {
    await cluster.dispose();
    rmSync(certificates, { recursive: true, force: true });
  });

  const fio = (uri: string, ...args: string[]): Promise<unknown> =>
    runCommand(
      'fio',
      ['--name=t', '--ioengine=nbd', `--uri=${uri}`, '--rw=randwrite', '--bs=4k', '--size=64m']
        .concat([
          '--iodepth=32',
          '--verify=crc32c',
          '--verify_state_save=0',
          '--verify_fatal=1',
          '--randseed=7',
        ])
        .concat(args),
      { timeoutMs: 100_000, cwd: certificates },
    );

  async function attach(volumeId: string, nodes: readonly number[]): Promise<string> {
    await cluster.createVolume(volumeId, sizeBytes, nodes);
    const params = { volumeId, frontend: 'nbd', readOnly: false } as const;
    return (await cluster.call(nodes[0], 'volume.attach', params)).nbdUri;
  }

  function dataPort(node: number): number {
    const text = readFileSync(join(cluster.runDir(node), 'engine.json'), 'utf8');
    return (JSON.parse(text) as EngineConfig).dataAddress.port;
  }

  /** The processes of the node's relay: none while another one starts. */
  async function relayPids(node: number): Promise<number[]> {
    const { pid } = await cluster.call(node, 'engine.status', {});
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
    const isRelay = (child: string): boolean =>
      child !== '' && readFileSync(`/proc/${child}/cmdline`, 'utf8').includes('tls-relay');
    return children.filter(isRelay).map(Number);
  }

  /** A process that has ended and whom its new parent has not yet waited for does not run. */
  function runs(pid: number): boolean {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      return stat.slice(stat.lastIndexOf(')') + 2)[0] !== 'Z';
    } catch {
      return false;
    }
  }

  /** What node 0 has changed in the volume's record since it was attached. */
  function changesOf(volumeId: string): string[] {
    return readFileSync(join(cluster.runDir(0), 'log'), 'utf8')
      .split('\n')
      .filter((line) => line.includes('a record was changed') && line.includes(`"${volumeId}"`))
      .map((line) => (JSON.parse(line) as { change: string }).change);
  }

  it('write and verify on three nodes, and all replicas are equal', async () => {
    await fio(await attach('v1', [0, 1, 2]));
    const check = await cluster.call(0, 'volume.check', { volumeId: 'v1' });
    expect(check.bytesCompared).toBeGreaterThan(0);
    expect(check.differences).toEqual([]);
    const { replicas } = await cluster.call(0, 'volume.status', { volumeId: 'v1' });
    expect(replicas.map(({ state, reason }) => `${state}${reason}`)).toEqual(
      Array.from({ length: 3 }, () => 'in_sync'),
    );
  });

  it('refuse what speaks no TLS, and go on', async () => {
    const socket = connect(dataPort(1), '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(Buffer.alloc(4096, 'x'));
    const heard: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => void heard.push(chunk));
    await once(socket, 'close');
    // An alert record at most: 5 bytes of header, 2 of alert.
    expect(Buffer.concat(heard).length).toBeLessThanOrEqual(7);
    const { replicas } = await cluster.call(0, 'volume.status', { volumeId: 'v1' });
    expect(replicas.every(({ connected }) => connected)).toBe(true);
  });

  it('have nothing to do with a node of another authority, and say why', async () => {
    await fio(await attach('v2', [0, stranger]), '--size=4m');
    await cluster.until('the other replica is out', async () => {
      return (await cluster.record('v2')).replicas[1].state === 'out';
    });
    await cluster.until('the reason in the status', async () => {
      const { replicas } = await cluster.call(0, 'volume.status', { volumeId: 'v2' });
      expect(replicas[1].connected).toBe(false);
      return /unreachable: TLS to .* certificate is refused: /.test(replicas[1].reason);
    });
  });

  it('come back when a relay is killed in the middle of writes', async () => {
    const uri = await attach('v3', [0, 1, 2]);
    const load = fio(uri, '--rate_iops=3000');
    for (const node of [1, 0]) {
      const before = (await cluster.call(0, 'volume.status', { volumeId: 'v3' })).stats.writes;
      await cluster.until('writes', async () => {
        const { stats } = await cluster.call(0, 'volume.status', { volumeId: 'v3' });
        return stats.writes > before + 2000;
      });
      const [killed] = await relayPids(node);
      process.kill(killed, 'SIGKILL');
      await cluster.until('links', async () => {
        const { replicas } = await cluster.call(0, 'volume.status', { volumeId: 'v3' });
        return replicas.every(({ connected, state }) => connected && state === 'in_sync');
      });
      await cluster.until('another relay', async () => {
        const pids = await relayPids(node);
        return pids.length === 1 && pids[0] !== killed;
      });
    }
    await load;
    const check = await cluster.call(0, 'volume.check', { volumeId: 'v3' });
    expect(check.differences).toEqual([]);
    // It came back before anybody took a replica out, as the one of before was.
    expect(changesOf('v3')).toEqual([]);
    expect(changesOf('v2')).toEqual(['remove_in_sync']);
  });

  it('leave no relay behind when an engine is killed, and its successor has one', async () => {
    const [before] = await relayPids(2);
    await cluster.killEngine(2);
    cluster.startNode(2);
    await cluster.answers(2);
    await cluster.until('links', async () => {
      const { replicas } = await cluster.call(0, 'volume.status', { volumeId: 'v3' });
      return replicas.every(({ connected, state }) => connected && state === 'in_sync');
    });
    const after = await relayPids(2);
    expect(after).toHaveLength(1);
    expect(after[0]).not.toBe(before);
    await cluster.until('the relay of the killed engine has ended', async () => !runs(before));
  });
});
