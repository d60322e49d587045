import { geographyOf } from './geography.js';

it.each([
  [{}, { zone: 'default', region: 'default', rack: 'default' }],
  [
    { 'failure-domain.beta.kubernetes.io/zone': 'old' },
    { zone: 'old', region: 'default', rack: 'default' },
  ],
  [
    { 'failure-domain.beta.kubernetes.io/zone': 'old', 'topology.kubernetes.io/zone': 'cloud' },
    { zone: 'cloud', region: 'default', rack: 'default' },
  ],
  [
    { 'topology.kubernetes.io/zone': 'cloud', 'px/zone': 'mine', 'px/rack': 'r1' },
    { zone: 'mine', region: 'default', rack: 'r1' },
  ],
  [
    { 'px/zone': 'mine', 'topology.portworx.io/zone': 'first', 'px/region': 'here' },
    { zone: 'first', region: 'here', rack: 'default' },
  ],
  [
    { 'px/zone': '', 'topology.kubernetes.io/zone': 'cloud' },
    { zone: 'cloud', region: 'default', rack: 'default' },
  ],
])('%j is at %j', (labels, expected) => {
  expect(geographyOf(labels as Record<string, string>)).toEqual(expected);
});
