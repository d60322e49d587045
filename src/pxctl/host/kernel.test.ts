import { statSync } from 'node:fs';
import { join } from 'node:path';
import { deviceNumber, kernelPath, parseMounts, volumeIdOfDevice } from './kernel.js';

describe('parseMounts', () => {
  test('reads optional fields, escapes and a bind of a read-only mount', () => {
    const text = [
      '22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw',
      '99 22 7:14 / /mnt/a\\040b ro,relatime shared:7 master:2 - xfs /dev/loop14 rw,nouuid',
      '98 22 0:5 / /dev rw,nosuid - devtmpfs udev rw',
      'no mount at all',
      '',
    ].join('\n');
    expect(parseMounts(text)).toEqual([
      { device: '8:1', path: '/', readOnly: false, fsType: 'ext4', source: '/dev/sda1' },
      { device: '7:14', path: '/mnt/a b', readOnly: true, fsType: 'xfs', source: '/dev/loop14' },
      { device: '0:5', path: '/dev', readOnly: false, fsType: 'devtmpfs', source: 'udev' },
    ]);
  });
});

describe('devices', () => {
  test.each([
    [0x070e, '7:14'],
    [0x10_0701, '7:257'],
    [0x0103_00, '259:0'],
  ])('rdev %i is %s', (rdev, number) => {
    expect(deviceNumber(rdev)).toBe(number);
  });

  test('agree with the kernel, and one that is no loop device is of no volume', async () => {
    expect(deviceNumber(statSync('/dev/null').rdev)).toBe('1:3');
    expect(await volumeIdOfDevice('1:3')).toBe('');
  });

  test('a path is resolved but for its last part, which may be a broken mount', async () => {
    expect(await kernelPath('/proc/self/../mounts')).toBe('/proc/mounts');
    expect(await kernelPath(join('/nowhere', 'at', 'all'))).toBe('/nowhere/at/all');
  });
});
