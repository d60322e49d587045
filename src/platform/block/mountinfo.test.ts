import { join } from 'node:path';
import { hasStopped, kernelPath, parseMountInfo } from './mountinfo.js';

describe('parseMountInfo', () => {
  it('reads optional fields, escapes and binds of device nodes', () => {
    const text = [
      '29 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro',
      '36 29 7:3 /sub /mnt/with\\040space\\011tab ro,nosuid shared:1 master:2 - xfs /dev/loop3 rw,attr2',
      '37 29 0:6 /loop4 /var/block rw - devtmpfs udev rw,size=1k',
      '',
      'broken line',
    ].join('\n');
    expect(parseMountInfo(text)).toEqual([
      {
        device: '8:1',
        root: '/',
        mountPoint: '/',
        options: ['rw', 'relatime'],
        fsType: 'ext4',
        source: '/dev/sda1',
        superOptions: ['rw', 'errors=remount-ro'],
      },
      {
        device: '7:3',
        root: '/sub',
        mountPoint: '/mnt/with space\ttab',
        options: ['ro', 'nosuid'],
        fsType: 'xfs',
        source: '/dev/loop3',
        superOptions: ['rw', 'attr2'],
      },
      {
        device: '0:6',
        root: '/loop4',
        mountPoint: '/var/block',
        options: ['rw'],
        fsType: 'devtmpfs',
        source: 'udev',
        superOptions: ['rw', 'size=1k'],
      },
    ]);
  });
});

describe('hasStopped', () => {
  it('tells a file system that gave up from one that was mounted read-only', () => {
    const entryOf = (mountFlags: string, superFlags: string) => {
      const line = `36 29 7:3 / /mnt ${mountFlags} - ext4 /dev/loop3 ${superFlags}`;
      const [entry] = parseMountInfo(line);
      if (entry === undefined) throw new Error('not parsed');
      return entry;
    };
    expect(hasStopped(entryOf('rw,relatime', 'rw'))).toBe(false);
    expect(hasStopped(entryOf('ro', 'ro'))).toBe(false);
    expect(hasStopped(entryOf('rw', 'ro'))).toBe(true);
    expect(hasStopped(entryOf('rw', 'rw,shutdown'))).toBe(true);
    expect(hasStopped(entryOf('rw', 'rw,emergency_ro'))).toBe(true);
  });
});

describe('kernelPath', () => {
  it('resolves a path but for its last part, which may be a broken mount', async () => {
    expect(await kernelPath('/proc/self/../mounts')).toBe('/proc/mounts');
    expect(await kernelPath(join('/nowhere', 'at', 'all'))).toBe('/nowhere/at/all');
  });
});
