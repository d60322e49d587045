import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCommand } from '../../src/platform/run-command.js';
import { isBusy, Mounter } from '../../src/platform/block/mounter.js';
import { describeOnCluster } from '../support/needs.js';

describeOnCluster('Mounter on the kernel', () => {
  const mounter = new Mounter(runCommand);
  let directory: string;
  let path: string;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'px-mounter-'));
    path = join(directory, 'mount');
    await mounter.makeDirectory(path);
    await mounter.mount('px-test', path, 'tmpfs', ['size=1m']);
  });
  afterEach(async () => {
    await mounter.unmount(path);
    await rm(directory, { recursive: true, force: true });
  });

  it('says what is on top, and takes one layer or all of them away', async () => {
    await mounter.mount('px-test-2', path, 'tmpfs', ['ro']);
    expect(await mounter.at(path)).toMatchObject({ source: 'px-test-2', fsType: 'tmpfs' });
    await mounter.unmountLayer(path);
    expect(await mounter.at(path)).toMatchObject({ source: 'px-test', mountPoint: path });
    await mounter.mount('px-test-3', path, 'tmpfs', []);
    await mounter.unmount(path);
    expect(await mounter.at(path)).toBeUndefined();
    await mounter.unmount(path);
  });

  it('waits for one who only looks, but not for one who stays', async () => {
    const file = await open(join(path, 'file'), 'w');
    const refused: unknown = await mounter.unmountLayer(path).catch((thrown: unknown) => thrown);
    expect(isBusy(refused)).toBe(true);
    const unmounted = mounter.unmountLayer(path);
    await file.close();
    await unmounted;
    expect(await mounter.at(path)).toBeUndefined();
  });

  it('makes a bind read-only and leaves its source writable', async () => {
    const bound = join(directory, 'bound');
    await mounter.makeDirectory(bound);
    await mounter.bind(path, bound);
    await mounter.makeBindReadOnly(bound);
    await expect(open(join(bound, 'x'), 'w')).rejects.toMatchObject({ code: 'EROFS' });
    await (await open(join(path, 'x'), 'w')).close();
    await mounter.unmount(bound);
    await mounter.removeTarget(bound);
    expect(await mounter.inspect(bound)).toEqual({ kind: 'missing' });
  });
});
