import type { WorkloadPod } from '../workloads.js';
import type { Lease } from './kubelet-leases.js';
import { leasesOfTheDead } from './release-leases.js';

const lease = (holderIdentity?: string): Lease => ({
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  metadata: { name: 'external-attacher-leader-pxd-portworx-com' },
  spec: holderIdentity === undefined ? {} : { holderIdentity },
});

const pod = (name: string, nodeName?: string): WorkloadPod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'portworx' },
  spec: nodeName === undefined ? {} : { nodeName },
});

it.each<[string, Lease, readonly WorkloadPod[], number]>([
  ['of a pod on the node', lease('px-csi-controller-a'), [pod('px-csi-controller-a', 'dead')], 1],
  ['of a pod that is gone', lease('px-csi-controller-a'), [pod('px-csi-controller-b', 'well')], 1],
  ['of a pod elsewhere', lease('px-csi-controller-a'), [pod('px-csi-controller-a', 'well')], 0],
  ['of the snapshot controller', lease('px-snapshot-controller-a'), [], 1],
  ['of nobody', lease(''), [], 0],
  ['that nobody ever held', lease(), [], 0],
  ['of somebody else', lease('their-controller-a'), [pod('their-controller-a', 'dead')], 0],
])('a lease %s', (_, held, pods, count) => {
  expect(leasesOfTheDead([held], pods, 'dead')).toHaveLength(count);
});
