import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findNetlinkFamily } from '../sys/generic-netlink.js';
import { OpenFlag, openFile } from '../sys/files.js';
import { Errno, SystemCallError } from '../sys/libc.js';
import type { NbdKernel } from './nbd/nbd-kernel.js';
import { NbdDevices, requireNbdModule } from './nbd-device.js';

/**
 * A FAKE kernel: a directory in place of /sys, for what the real driver does
 * seldom. The real one is tested in test/nbd-device, in a user-mode Linux.
 */
class FakeKernel implements NbdKernel {
  readonly sysDir = mkdtempSync(join(tmpdir(), 'px-fake-sys-'));
  readonly calls: string[] = [];
  dead = true;
  tellsBackend = true;

  constructor() {
    mkdirSync(join(this.sysDir, 'module/nbd'), { recursive: true });
    for (const index of [0, 1]) mkdirSync(this.dir(index, 'queue'), { recursive: true });
  }

  connect({ backend }: { backend: string }): Promise<number> {
    const index = existsSync(this.dir(0, 'backend')) ? 1 : 0;
    this.calls.push(`connect ${index}`);
    if (this.tellsBackend) writeFileSync(this.dir(index, 'backend'), `${backend}\n`);
    return Promise.resolve(index);
  }

  reconnect(index: number): Promise<void> {
    this.calls.push(`reconnect ${index}`);
    if (this.dead) return Promise.resolve();
    return Promise.reject(new SystemCallError('reconnecting', Errno.ENOSPC));
  }

  resize(): Promise<void> {
    return Promise.resolve();
  }

  disconnect(index: number): Promise<void> {
    this.calls.push(`disconnect ${index}`);
    rmSync(this.dir(index, 'backend'), { force: true });
    return Promise.resolve();
  }

  dir(index: number, file: string): string {
    return join(this.sysDir, `block/nbd${index}`, file);
  }
}

describe('devices of the nbd module, by a fake of it', () => {
  let kernel: FakeKernel;
  beforeEach(() => (kernel = new FakeKernel()));
  afterEach(() => rmSync(kernel.sysDir, { recursive: true }));

  function devices(runDir = '/run/px'): NbdDevices {
    const connect = () =>
      Promise.resolve({ fd: openFile('/dev/null', OpenFlag.RDONLY), sizeBytes: 4096, flags: 1 });
    return new NbdDevices({ runDir, sysDir: kernel.sysDir, kernel, connect });
  }

  const options = (volumeId: string) => ({
    ...{ volumeId, socketPath: '/run/px/v.sock', blockSizeBytes: 4096, discard: true },
  });

  it('gives each volume its own, and knows them again after a restart', async () => {
    const before = devices();
    expect((await before.attach(options('a'))).path).toBe('/dev/nbd0');
    expect((await before.attach(options('b'))).path).toBe('/dev/nbd1');
    expect(readFileSync(kernel.dir(1, 'queue/max_sectors_kb'), 'utf8')).toBe('1024');
    const after = devices();
    expect((await after.attach(options('b'))).path).toBe('/dev/nbd1');
    expect(kernel.calls).toEqual(['connect 0', 'connect 1', 'reconnect 1']);
    expect(devices('/run/other').list()).toEqual([]);
  });

  it('leaves a connection of its own that is alive as it is', async () => {
    const one = devices();
    await one.attach(options('a'));
    kernel.dead = false;
    expect((await one.attach(options('a'))).path).toBe('/dev/nbd0');
    await one.detach('a', false);
    expect(one.find('a')).toBeUndefined();
    await one.detach('a', false);
    expect(kernel.calls).toEqual(['connect 0', 'reconnect 0', 'disconnect 0']);
  });

  it('gives a device back that does not say whose it is', async () => {
    kernel.tellsBackend = false;
    await expect(devices().attach(options('a'))).rejects.toThrow('that takes Linux 5.14');
    expect(kernel.calls).toEqual(['connect 0', 'disconnect 0']);
  });

  it('says what to do where the module is not loaded', () => {
    rmSync(kernel.sysDir, { recursive: true });
    mkdirSync(kernel.sysDir);
    expect(() => requireNbdModule(kernel.sysDir)).toThrow(
      "the kernel's nbd module is not loaded: modprobe nbd, or use fuse",
    );
  });
});

describe('the kernel of this machine', () => {
  it('answers over generic netlink', async () => {
    // GENL_ID_CTRL: the controller always has this number.
    expect(await findNetlinkFamily('nlctrl')).toBe(16);
    expect(await findNetlinkFamily('px-none')).toBeUndefined();
  });

  it('refuses nbd devices exactly where it has no nbd', () => {
    const loaded = existsSync('/sys/module/nbd') || existsSync('/sys/block/nbd0');
    const message = loaded
      ? ''
      : "the kernel's nbd module is not loaded: modprobe nbd, or use fuse";
    let said = '';
    try {
      requireNbdModule();
    } catch (error) {
      said = (error as Error).message;
    }
    expect(said).toBe(message);
  });
});
