import type { VolumeRecord } from '../../kernel/volume-record.js';
import { checkDeletable } from './delete-volume.js';
import { testNode, testState, testVolume } from './testing-cluster.js';

const state = testState([testNode('a'), testNode('gone')], [], ['gone']);

test.each<[string, Partial<VolumeRecord>]>([
  ['nobody has it', {}],
  ['a controller gave it back, and its node died attached', { attachedOn: 'gone' }],
  ['an attach reserved it and never came', { publishedOn: 'a', reservedByAttach: true }],
])('may go: %s', (_title, changes) => {
  expect(() => {
    checkDeletable(testVolume('v', ['a'], changes), state);
  }).not.toThrow();
});

test.each<[string, Partial<VolumeRecord>, string]>([
  ['attached', { attachedOn: 'a' }, 'is attached on name-a; detach it first'],
  ['published', { publishedOn: 'a' }, 'is published on name-a; unpublish it first'],
  [
    'published on a node that died with it',
    { attachedOn: 'gone', publishedOn: 'gone' },
    'is published on name-gone; unpublish it first',
  ],
  [
    'attached by a user whose node is not heard of',
    { attachedOn: 'gone', publishedOn: 'gone', reservedByAttach: true },
    'was attached on name-gone, which px does not hear of; detach it first',
  ],
  [
    'sticky',
    { spec: { ...testVolume('v', []).spec, sticky: true } },
    'is sticky; clear that first',
  ],
])('must stay: %s', (_title, changes, why) => {
  expect(() => {
    checkDeletable(testVolume('v', ['a'], changes), state);
  }).toThrow(why);
});
