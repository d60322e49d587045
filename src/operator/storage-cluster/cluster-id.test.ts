import { clusterIdOf } from './cluster-id.js';
import { testCluster } from './testing-observed.js';

it('is the same when the StorageCluster is applied anew', () => {
  const one = testCluster({}, { metadata: { name: 'px', uid: '1' } });
  const again = testCluster({}, { metadata: { name: 'px', uid: '2' } });
  expect(clusterIdOf(one, 'k')).toBe(clusterIdOf(again, 'k'));
});

it('differs between Kubernetes clusters, which may share a key-value store', () => {
  const cluster = testCluster();
  expect(clusterIdOf(cluster, 'k1')).not.toBe(clusterIdOf(cluster, 'k2'));
});

it('fits what the data plane takes, whatever the name', () => {
  const cluster = testCluster({}, { metadata: { name: 'a'.repeat(200) } });
  expect(clusterIdOf(cluster, 'k')).toMatch(/^[A-Za-z0-9._-]{1,63}$/);
});

it("is the person's, unless the nodes know another already", () => {
  const metadata = { name: 'px', annotations: { 'portworx.io/cluster-id': 'mine' } };
  expect(clusterIdOf(testCluster({}, { metadata }), 'k')).toBe('mine');
  const running = testCluster({}, { metadata, status: { clusterName: 'first' } });
  expect(clusterIdOf(running, 'k')).toBe('first');
});
