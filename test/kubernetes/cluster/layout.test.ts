import { initScript } from './node-init.js';
import { changedSettings, guardedSettings } from './kernel-settings.js';
import { clusterLayout, nodeLayout } from './layout.js';

test('clusters in two directories share no name and no namespace', () => {
  const [a, b] = [clusterLayout('/tmp/a'), clusterLayout('/tmp/b')];
  expect(a.prefix).not.toBe(b.prefix);
  expect(a.hubNamespace.startsWith(`${a.prefix}-`)).toBe(true);
  expect(nodeLayout(a, 1).namespace).not.toBe(nodeLayout(b, 1).namespace);
});

test('a name fits into the 15 characters of a network device', () => {
  expect(nodeLayout(clusterLayout('/tmp/a'), 9).veth.length).toBeLessThanOrEqual(15);
});

test('nodes have addresses and subnets of their own, in three zones', () => {
  const cluster = clusterLayout('/tmp/a');
  const nodes = [1, 2, 3, 4].map((index) => nodeLayout(cluster, index));
  expect(new Set(nodes.map((node) => node.address)).size).toBe(4);
  expect(new Set(nodes.map((node) => node.podCidr)).size).toBe(4);
  expect(nodes.map((node) => node.zone)).toEqual(['zone-1', 'zone-2', 'zone-3', 'zone-1']);
});

test("every setting of the machine that a kubelet writes is covered in the node's init", () => {
  const node = nodeLayout(clusterLayout('/tmp/a'), 1);
  const script = initScript({ node, kubernetesBinDir: '/k', cniBinDir: '/c', disks: ['/dev/x'] });
  for (const file of guardedSettings) expect(script).toContain(file);
  expect(script).toContain(`ln -s '/dev/x' "$R/dev/disk/by-id/px-test-1"`);
  // A kubelet must not start before they are covered.
  expect(script.indexOf(guardedSettings[0])).toBeLessThan(script.indexOf('supervise kubelet'));
});

test('a setting that changed or went is told', () => {
  const before = { '/a': '1', '/b': '2', '/c': '3' };
  expect(changedSettings(before, { '/a': '1', '/b': '5' })).toEqual([
    '/b was 2 and is 5',
    '/c was 3 and is gone',
  ]);
});
