import { formatQuantityBytes, parseQuantityBytes } from './quantity.js';

describe('parseQuantityBytes', () => {
  test.each<[string | number, number]>([
    [4096, 4096],
    ['4096', 4096],
    ['1Ki', 1024],
    ['100Gi', 107_374_182_400],
    ['1.5Ti', 1_649_267_441_664],
    ['.5Mi', 524_288],
    ['2k', 2_000],
    ['5e9', 5_000_000_000],
    ['10.1', 11],
  ])('%p is %d bytes', (quantity, bytes) => {
    expect(parseQuantityBytes(quantity, 'size')).toBe(bytes);
  });

  test.each(['', 'big', '1GiB', '-1', '1ki', '9Pi9', '100Pi', '1e99', 'NaN'])(
    '%p is refused',
    (quantity) => {
      expect(() => parseQuantityBytes(quantity, 'spec.size')).toThrow(
        `spec.size: "${quantity}" is not a size`,
      );
    },
  );
});

test.each<[number, string]>([
  [0, '0'],
  [1000, '1000'],
  [1024, '1Ki'],
  [3 * 2 ** 30, '3Gi'],
  [2 ** 40 + 1, '1099511627777'],
])('formatQuantityBytes(%d) is %s, and it is read back', (bytes, text) => {
  expect(formatQuantityBytes(bytes)).toBe(text);
  expect(parseQuantityBytes(text, 'size')).toBe(bytes);
});
