import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { KubeApi, KubeObject } from '../ports.js';
import { selfTest } from './self-test.js';

describe('what helm test runs', () => {
  let volumeDir: string;
  beforeEach(async () => {
    volumeDir = await mkdtemp(path.join(tmpdir(), 'px-self-test-'));
  });
  afterEach(() => rm(volumeDir, { recursive: true, force: true }));

  async function run(clusters: readonly object[], drivers: readonly string[]): Promise<string[]> {
    const said: string[] = [];
    const kube = {
      list: () => Promise.resolve(clusters as KubeObject[]),
      get: (_resource: unknown, { name }: { name: string }) =>
        Promise.resolve(
          drivers.includes(name) ? ({ metadata: { name } } as KubeObject) : undefined,
        ),
    } as unknown as KubeApi;
    await selfTest({
      ...{ kube, driverName: 'driver', namespace: 'portworx', volumeDir },
      say: (text) => said.push(text),
    });
    return said;
  }

  const running = { metadata: { name: 'px' }, status: { phase: 'Running' } };

  it('says what it has seen and leaves nothing on the volume', async () => {
    const said = await run([running], ['driver']);
    expect(said).toHaveLength(3);
    expect(await readdir(volumeDir)).toEqual([]);
  });

  it.each([
    ['no StorageCluster', [], ['driver'], /no StorageCluster in portworx/],
    [
      'one that is not well',
      [{ metadata: { name: 'px' }, status: { phase: 'Degraded', reason: 'node-2 is offline' } }],
      ['driver'],
      /px is Degraded: node-2 is offline/,
    ],
    ['one without a status', [{ metadata: { name: 'px' } }], ['driver'], /px is not set up/],
    ['no driver', [running], [], /driver is not registered/],
  ])('fails with the reason: %s', async (_case, clusters, drivers, message) => {
    await expect(run(clusters, drivers)).rejects.toThrow(message);
  });
});
