import type { PersistentVolume, WorkloadPod } from '../workloads.js';
import { usesOn } from './in-use.js';

const volume = (id: string, attachedOn: string, publishedOn = attachedOn) => ({
  ...{ id, name: `pvc-${id}`, attached_on: attachedOn, published_on: publishedOn },
});

const pv = (id: string): PersistentVolume => ({
  apiVersion: 'v1',
  kind: 'PersistentVolume',
  metadata: { name: `pvc-${id}` },
  spec: {
    csi: { driver: 'pxd.portworx.com', volumeHandle: id },
    claimRef: { namespace: 'shop', name: `data-${id}` },
  },
});

const pod = (name: string, id: string): WorkloadPod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'shop' },
  spec: {
    nodeName: 'node-1',
    volumes: [{ name: 'data', persistentVolumeClaim: { claimName: `data-${id}` } }],
  },
});

it.each([
  ['nothing', [volume('1', ''), volume('2', 'px-b')], [pod('db-0', '2')], []],
  ['a pod', [volume('1', 'px-a')], [pod('db-0', '1')], ['volume pvc-1 (pod shop/db-0)']],
  [
    'two pods with one volume',
    [volume('1', 'px-a')],
    [pod('db-0', '1'), pod('db-1', '1')],
    ['volume pvc-1 (pod shop/db-0, shop/db-1)'],
  ],
  ['a reservation without a pod', [volume('1', '', 'px-a')], [], ['volume pvc-1']],
  [
    'more than a person reads',
    ['1', '2', '3', '4', '5', '6', '7'].map((id) => volume(id, 'px-a')),
    [],
    ['volume pvc-1', 'volume pvc-2', 'volume pvc-3', 'volume pvc-4', 'volume pvc-5', '2 more'],
  ],
])('%s', (_, volumes, pods, expected) => {
  expect(usesOn('px-a', volumes, pods, ['1', '2'].map(pv))).toEqual(expected);
});
