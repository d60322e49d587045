import { fencePatch, fenceMark, releasePatch, taintOwner, type KubeNode } from './fenced-node.js';

const key = 'node.kubernetes.io/out-of-service';
const ours = { key, value: 'px', effect: 'NoExecute' };
const users = { key, value: 'nodeshutdown', effect: 'NoExecute' };
const other = { key: 'node.kubernetes.io/unreachable', effect: 'NoSchedule' };

function node(taints: readonly { key: string; effect: string }[], fenced?: string): KubeNode {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name: 'n1',
      resourceVersion: '7',
      ...(fenced === undefined ? {} : { annotations: { 'px.io/fenced': fenced } }),
    },
    spec: { taints },
  };
}

it.each([
  ['none', [other]],
  ['ours', [other, ours]],
  ['user', [users]],
  ['user', [{ key, effect: 'NoExecute' }]],
  ['user', [ours, { key, effect: 'NoSchedule' }]],
])('the taint is %s', (owner, taints) => {
  expect(taintOwner(node(taints))).toBe(owner);
});

it.each([
  [undefined, undefined],
  ['taint', 'taint'],
  ['unreachable', 'unreachable'],
  ['whatever', 'dead'],
])('the mark %s means %s', (mark, cause) => {
  expect(fenceMark(node([], mark))).toBe(cause);
});

it('fencing keeps the other taints, and what changed in between', () => {
  expect(fencePatch(node([other]), 'dead')).toEqual({
    metadata: { resourceVersion: '7', annotations: { 'px.io/fenced': 'dead' } },
    spec: { taints: [other, ours] },
  });
});

it("fencing adds no second taint to a user's", () => {
  expect(fencePatch(node([users]), 'taint')).toEqual({
    metadata: { resourceVersion: '7', annotations: { 'px.io/fenced': 'taint' } },
  });
});

it('releasing takes away our taint and mark, and nothing of others', () => {
  expect(releasePatch(node([other, ours], 'dead'))).toEqual({
    metadata: { resourceVersion: '7', annotations: { 'px.io/fenced': null } },
    spec: { taints: [other] },
  });
  expect(releasePatch(node([users], 'taint'))).toEqual({
    metadata: { resourceVersion: '7', annotations: { 'px.io/fenced': null } },
  });
});
