import {
  attachmentsOn,
  podsWithPxVolumes,
  pxClaims,
  releasable,
  type PersistentVolume,
  type VolumeAttachment,
  type WorkloadPod,
} from './workloads.js';

const driver = 'pxd.portworx.com';

function volume(name: string, claim: string, csiDriver = driver): PersistentVolume {
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name },
    spec: {
      csi: { driver: csiDriver, volumeHandle: `handle-${name}` },
      claimRef: { namespace: 'shop', name: claim },
    },
  };
}

type Volumes = NonNullable<NonNullable<WorkloadPod['spec']>['volumes']>;

function pod(name: string, volumes: Volumes, phase = 'Running', namespace = 'shop'): WorkloadPod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace },
    spec: { nodeName: 'n1', volumes },
    status: { phase },
  };
}

const claim = (claimName: string) => [{ name: 'data', persistentVolumeClaim: { claimName } }];

it('finds the pods that use a px volume, in whatever way', () => {
  const claims = pxClaims(
    [
      volume('pv1', 'db'),
      volume('pv2', 'scratch-pod-tmp'),
      volume('pv3', 'elsewhere', 'other.csi'),
      { ...volume('pv4', 'x'), spec: { csi: { driver, volumeHandle: 'unbound' } } },
    ],
    driver,
  );
  const pods = [
    pod('by-claim', claim('db')),
    pod('other-driver', claim('elsewhere')),
    pod('other-namespace', claim('db'), 'Running', 'test'),
    pod('scratch-pod', [{ name: 'tmp', ephemeral: {} }]),
    pod('inline', [{ name: 'data', csi: { driver } }]),
    pod('done', claim('db'), 'Succeeded'),
    pod('nothing', []),
  ];
  const names = podsWithPxVolumes(pods, claims, driver).map(({ metadata }) => metadata.name);
  expect(names).toEqual(['by-claim', 'scratch-pod', 'inline']);
});

it('finds the attachments of our driver on the node that still stand', () => {
  const attachment = (name: string, attacher: string, nodeName: string): VolumeAttachment => ({
    apiVersion: 'storage.k8s.io/v1',
    kind: 'VolumeAttachment',
    metadata: { name },
    spec: { attacher, nodeName },
  });
  const leaving = attachment('leaving', driver, 'n1');
  const found = attachmentsOn(
    [
      attachment('here', driver, 'n1'),
      attachment('there', driver, 'n2'),
      attachment('foreign', 'other.csi', 'n1'),
      { ...leaving, metadata: { ...leaving.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' } },
    ],
    'n1',
    driver,
  );
  expect(found.map(({ metadata }) => metadata.name)).toEqual(['here']);
});

describe('what may go of a node of which only some volumes are fenced', () => {
  const claims = pxClaims([volume('pv1', 'a'), volume('pv2', 'b')], driver);
  const both = [...claim('a'), { name: 'more', persistentVolumeClaim: { claimName: 'b' } }];
  const inline = [...claim('a'), { name: 'tmp', csi: { driver } }];
  const foreign = [...claim('a'), { name: 'tmp', csi: { driver: 'other.csi' } }];
  const attachments = ['pv1', 'pv2', 'pv9'].map((persistentVolumeName): VolumeAttachment => ({
    apiVersion: 'storage.k8s.io/v1',
    kind: 'VolumeAttachment',
    metadata: { name: `of-${persistentVolumeName}` },
    spec: { attacher: driver, nodeName: 'n1', source: { persistentVolumeName } },
  }));

  it.each<[string, readonly WorkloadPod[], readonly string[], readonly string[]]>([
    ['each pod has its own volume', [pod('x', claim('a')), pod('y', claim('b'))], ['x'], ['pv1']],
    ['one needs both', [pod('x', both)], [], []],
    ['its neighbour keeps the volume', [pod('x', claim('a')), pod('y', both)], ['x'], []],
    ['nobody knows which volume it is', [pod('x', inline)], [], []],
    ['what else it uses is not ours', [pod('x', foreign)], ['x'], ['pv1']],
    ['the pods are gone, their attachments are not', [], [], ['pv1']],
  ])('%s', (_, pods, doomed, stale) => {
    const found = releasable(pods, attachments, claims, new Set(['handle-pv1']), driver);
    expect(found.doomed.map(({ metadata }) => metadata.name)).toEqual(doomed);
    expect(found.stale.map(({ metadata }) => metadata.name)).toEqual(
      stale.map((name) => `of-${name}`),
    );
  });
});
