import { deviceNumberOf } from './block-device.js';
import { parseMountInfo } from './mountinfo.js';

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
        superOptions: ['rw', 'errors=remount-ro'],
      },
      {
        device: '7:3',
        root: '/sub',
        mountPoint: '/mnt/with space\ttab',
        options: ['ro', 'nosuid'],
        fsType: 'xfs',
        superOptions: ['rw', 'attr2'],
      },
      {
        device: '0:6',
        root: '/loop4',
        mountPoint: '/var/block',
        options: ['rw'],
        fsType: 'devtmpfs',
        superOptions: ['rw', 'size=1k'],
      },
    ]);
  });
});

describe('deviceNumberOf', () => {
  it('unpacks st_rdev, also for minors above 255', () => {
    expect(deviceNumberOf({ rdev: (7 << 8) | 3 })).toBe('7:3');
    // glibc's makedev(7, 0x12345).
    expect(deviceNumberOf({ rdev: 0x12300745 })).toBe('7:74565');
  });
});
