import { assertVolumeId, parseMountInfo } from './fuse-mounts.js';

test('finds our mounts under the run directory, and nobody else’s', () => {
  const text = [
    '22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw',
    '90 22 0:51 / /run/px\\0401/volumes/v1 rw,nosuid,nodev - fuse.px px:v1 rw,user_id=0',
    '91 22 0:52 / /run/other/volumes/v2 rw,nosuid shared:3 master:1 - fuse.px px:v2 rw',
    '92 22 0:53 / /run/px\\0401/volumes/v3 rw - fuse.sshfs px:v3 rw',
    '',
  ].join('\n');
  expect(parseMountInfo(text, '/run/px 1')).toEqual([
    { volumeId: 'v1', path: '/run/px 1/volumes/v1', connection: 51 },
  ]);
});

test.each(['', '../etc', 'a/b', '.hidden', 'a\n', 'x'.repeat(129)])('refuses the id %j', (id) => {
  expect(() => assertVolumeId(id)).toThrow('not a volume id');
});
