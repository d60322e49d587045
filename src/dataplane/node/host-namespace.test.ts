import { peerGroupOf } from './host-namespace.js';

const mount = (point: string, optional: string) =>
  `1 2 0:1 / ${point} rw,relatime ${optional}- ext4 /dev/x rw`;

test.each([
  ['the mount in which it lies', [mount('/', 'shared:1 '), mount('/var', 'shared:2 ')], '2'],
  [
    'not one whose name only begins alike',
    [mount('/', 'shared:1 '), mount('/var/lib/px2', '')],
    '1',
  ],
  ['the last of two at one place', [mount('/var', 'shared:3 '), mount('/var', 'shared:4 ')], '4'],
  ['a private one has none', [mount('/', 'shared:1 '), mount('/var/lib/px', '')], undefined],
  ['a slave has none of its own', [mount('/var/lib/px', 'master:7 ')], undefined],
  ['a slave that is shared on', [mount('/var/lib/px', 'shared:8 master:7 ')], '8'],
])('the peer group of a directory: %s', (_, lines, expected) => {
  expect(peerGroupOf(lines.join('\n'), '/var/lib/px')).toBe(expected);
});
