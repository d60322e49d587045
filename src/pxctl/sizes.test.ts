import { formatBytes, formatVolumeSize, parseSizeBytes } from './sizes.js';

describe('parseSizeBytes', () => {
  test.each([
    ['1', 1024 ** 3],
    ['10', 10 * 1024 ** 3],
    ['1.5', 1.5 * 1024 ** 3],
    ['512M', 512 * 1024 ** 2],
    ['512MiB', 512 * 1024 ** 2],
    ['512MB', 512 * 1024 ** 2],
    ['10g', 10 * 1024 ** 3],
    ['2 TiB', 2 * 1024 ** 4],
    ['4096B', 4096],
    ['64k', 65_536],
  ])('%s', (text, sizeBytes) => {
    expect(parseSizeBytes('--size', text)).toBe(sizeBytes);
  });

  test.each(['', '0', '-1', '10Q', 'ten', '1,5', '1e3', '0x10', '9999999P', '1 2', 'G', '10GiBi'])(
    '"%s" is refused with the flag and what is allowed',
    (text) => {
      expect(() => parseSizeBytes('--size', text)).toThrow(
        `--size "${text}" is not a size; give GiB (10) or a unit (512M, 10G, 1.5T)`,
      );
    },
  );
});

describe('formatting', () => {
  test.each([
    ['0', '0 B'],
    ['1023', '1023 B'],
    ['1536', '1.5 KiB'],
    ['2080374784', '1.94 GiB'],
    [undefined, '0 B'],
    [String(3 * 1024 ** 5), '3 PiB'],
  ])('%s bytes are %s', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });

  test('a volume of whole GiB keeps the number that it was asked with', () => {
    expect(formatVolumeSize(String(2048 * 1024 ** 3))).toBe('2048 GiB');
    expect(formatVolumeSize(String(512 * 1024 ** 2))).toBe('512 MiB');
  });
});
