import { preflight, unsupported } from './preflight.js';
import type { PreflightInput } from './observed.js';
import { testCluster, testNode, testObserved } from './testing-observed.js';

function check(spec: unknown, more: Partial<PreflightInput> = {}, annotations = {}) {
  const cluster = testCluster(spec, { metadata: { name: 'px', annotations } });
  return preflight({
    observed: testObserved({}, { cluster }),
    csiDriver: undefined,
    namespaceLabels: {},
    secretsThere: () => true,
    ...more,
  });
}

const foreignDriver = {
  csiDriver: { apiVersion: 'v1', kind: 'CSIDriver', metadata: { name: 'pxd.portworx.com' } },
};
const restricted = { namespaceLabels: { 'pod-security.kubernetes.io/enforce': 'baseline' } };

it('has nothing to say of a plain cluster', () => {
  expect(check({})).toEqual({ blocking: [], warnings: [] });
});

it.each([
  [
    'devices twice',
    check({ storage: { devices: ['/dev/sdb', '/dev/sdb'] } }),
    'spec.storage.devices: /dev/sdb stands there twice',
  ],
  [
    'devices of a node',
    check({ nodes: [{ selector: { nodeName: 'node-1' }, storage: { devices: ['sdb'] } }] }),
    'spec.nodes[0].storage.devices: sdb must be an absolute path',
  ],
  [
    'a Secret that is not there',
    check(
      { kvdb: { endpoints: ['etcd:http://e:2379'], authSecret: 'auth' } },
      { secretsThere: () => false },
    ),
    'spec.kvdb.authSecret: there is no Secret auth in the namespace',
  ],
  [
    'a Secret for images that is not there',
    check({ imagePullSecret: 'pull' }, { secretsThere: () => false }),
    'spec.imagePullSecret: there is no Secret pull',
  ],
  ["another installation's driver", check({}, foreignDriver), 'was made by another installation'],
  [
    'a namespace that forbids privileged pods',
    check({}, restricted),
    'Pod Security level "baseline"',
  ],
  [
    'a cluster id of another form',
    check({}, {}, { 'portworx.io/cluster-id': 'a b' }),
    'metadata.annotations[portworx.io/cluster-id]: "a b" must be',
  ],
])('%s stops everything', (_, { blocking }, expected) => {
  expect(blocking).toHaveLength(1);
  expect(blocking[0]).toContain(expected);
});

it('takes what surrounds it as a warning when a person says so', () => {
  const { blocking, warnings } = check(
    {},
    { ...foreignDriver, ...restricted },
    {
      'portworx.io/preflight-check': 'skip',
    },
  );
  expect(blocking).toEqual([]);
  expect(warnings).toHaveLength(2);
});

it('does not let a running cluster change its id', () => {
  const cluster = testCluster(
    {},
    {
      metadata: { name: 'px', annotations: { 'portworx.io/cluster-id': 'new' } },
      status: { clusterName: 'old' },
    },
  );
  const { blocking } = preflight({
    observed: testObserved({}, { cluster }),
    csiDriver: undefined,
    namespaceLabels: {},
    secretsThere: () => true,
  });
  expect(blocking).toEqual([expect.stringContaining('cannot change from old to new')]);
});

it.each([
  [
    { nodes: [{ selector: { nodeName: 'node-9' } }] },
    'spec.nodes[0].selector: matches no node that may run px',
  ],
  [{ runtimeOptions: { 'io-threads': 'x' } }, 'spec.runtimeOptions.io-threads: "x" must be'],
  [
    { nodes: [{ selector: { nodeName: 'node-1' }, env: [{ name: 'A', value: '1' }] }] },
    'spec.nodes[].env: A can only be set for all nodes',
  ],
])('%j is worth a warning', (spec, expected) => {
  const { blocking, warnings } = check(spec);
  expect(blocking).toEqual([]);
  expect(warnings).toContainEqual(expect.stringContaining(expected));
});

it('says when px runs nowhere', () => {
  const nodes = [testNode('node-1', { labels: { 'px/enabled': 'false' } })];
  const observed = testObserved({}, { nodes });
  const { warnings } = preflight({
    observed,
    csiDriver: undefined,
    namespaceLabels: {},
    secretsThere: () => true,
  });
  expect(warnings).toEqual([expect.stringContaining('no node of the cluster matches')]);
});

it('names what has no meaning here, by its field', () => {
  const cluster = testCluster(
    { image: 'portworx/oci-monitor:3.1', stork: { enabled: true } },
    { metadata: { name: 'px', annotations: { 'portworx.io/misc-args': '-T px-storev2' } } },
  );
  expect(unsupported(cluster)).toEqual([
    expect.stringMatching(/^spec\.stork: /),
    expect.stringMatching(/^spec\.image: portworx\/oci-monitor:3\.1 /),
    'metadata.annotations[portworx.io/misc-args]: "-T px-storev2" is not supported',
  ]);
});
