import { statSync } from 'node:fs';
import { deviceNumberOf, readBlockDevice } from './block-device.js';

describe('deviceNumberOf', () => {
  it.each([
    [(7 << 8) | 3, '7:3'],
    // glibc's makedev(7, 257) and makedev(7, 0x12345).
    [0x10_0701, '7:257'],
    [0x12300745, '7:74565'],
    [0x0103_00, '259:0'],
  ])('unpacks st_rdev %i as %s', (rdev, number) => {
    expect(deviceNumberOf({ rdev })).toBe(number);
  });

  it('agrees with the kernel', () => {
    expect(deviceNumberOf(statSync('/dev/null'))).toBe('1:3');
  });
});

describe('readBlockDevice', () => {
  it('refuses what is no block device, and says which is not there', async () => {
    await expect(readBlockDevice('/dev/null')).rejects.toThrow('is not a block device');
    await expect(readBlockDevice('/dev/not-there')).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('ENOENT') as string,
    });
  });
});
