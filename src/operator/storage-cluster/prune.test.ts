import { resources } from '../../crds/resources.js';
import { objectLabels } from './names.js';
import { superfluous } from './prune.js';

const found = (name: string, labels: Record<string, string>, more: object = {}) => ({
  resource: resources.configMap,
  object: {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, namespace: 'portworx', labels, ...more },
  },
});

const ours = objectLabels('px', 'common');

it.each([
  ['is not wanted any more', found('old', ours), true],
  ['is wanted', found('wanted', ours), false],
  ["is another cluster's", found('old', objectLabels('other', 'common')), false],
  ["is somebody else's", found('old', { 'px.io/cluster': 'px' }), false],
  ['is going already', found('old', ours, { deletionTimestamp: 'now' }), false],
  ['says where the key-value store lies', found('px-kvdb', ours), false],
])('an object that %s', (_, one, expected) => {
  const wanted = [found('wanted', ours).object];
  expect(superfluous([one], wanted, 'px')).toEqual(expected ? [one] : []);
});

it('tells objects of one name in different namespaces apart', () => {
  const elsewhere = found('wanted', ours, { namespace: 'other' });
  expect(superfluous([elsewhere], [found('wanted', ours).object], 'px')).toEqual([elsewhere]);
});
