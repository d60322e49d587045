import { chooseSizeBytes, gibBytes, readSizeRange, sizeWithin } from './sizes.js';

const range = (required: string, limit = '0') =>
  readSizeRange({ required_bytes: required, limit_bytes: limit });

const refusal = (code: string) => expect.objectContaining({ code }) as Error;

describe('sizes', () => {
  test.each<[string, string, number]>([
    ['0', '0', gibBytes],
    ['1', '0', gibBytes],
    [String(gibBytes), '0', gibBytes],
    [String(gibBytes + 1), '0', 2 * gibBytes],
    [String(gibBytes), String(gibBytes), gibBytes],
    ['0', String(5 * gibBytes), gibBytes],
    [String(1024 ** 4), '0', 1024 ** 4],
  ])('required %s, limit %s: %d', (required, limit, expected) => {
    expect(chooseSizeBytes(range(required, limit))).toBe(expected);
  });

  it('is 1 GiB when there is no range', () => {
    expect(chooseSizeBytes(readSizeRange(null))).toBe(gibBytes);
  });

  it('holds the content that is copied into it', () => {
    expect(chooseSizeBytes(range('0'), 3 * gibBytes)).toBe(3 * gibBytes);
    expect(chooseSizeBytes(range(String(gibBytes)), 3 * gibBytes)).toBe(3 * gibBytes);
    expect(() => chooseSizeBytes(range('0', String(2 * gibBytes)), 3 * gibBytes)).toThrow(
      refusal('out_of_range'),
    );
  });

  it('does not round above the limit', () => {
    const tight = range(String(gibBytes + 1), String(gibBytes + 4096));
    expect(() => chooseSizeBytes(tight)).toThrow(refusal('out_of_range'));
    expect(() => chooseSizeBytes(range('0', '4096'))).toThrow(refusal('out_of_range'));
  });

  it('refuses what is not a size', () => {
    expect(() => range('-1')).toThrow(refusal('invalid_argument'));
    expect(() => range('10', '5')).toThrow(refusal('invalid_argument'));
    expect(() => range('9223372036854775807')).toThrow(refusal('out_of_range'));
  });

  it('knows whether an existing size fits', () => {
    expect(sizeWithin(gibBytes, range('1'))).toBe(true);
    expect(sizeWithin(gibBytes, range('0', '1'))).toBe(false);
    expect(sizeWithin(gibBytes, range(String(gibBytes + 1)))).toBe(false);
  });
});
