import { mayRun, placementOf } from './node-selection.js';
import { testNode } from './testing-observed.js';

describe('the default placement', () => {
  const placement = placementOf(undefined);
  const cases: readonly [string, Parameters<typeof testNode>[1], boolean][] = [
    ['a Linux worker', {}, true],
    ['a node of another system', { labels: { 'kubernetes.io/os': 'windows' } }, false],
    ['a node that opted out', { labels: { 'px/enabled': 'false' } }, false],
    ['a node that opted in', { labels: { 'px/enabled': 'true' } }, true],
    ['a control plane', { labels: { 'node-role.kubernetes.io/control-plane': '' } }, false],
    ['a decommissioned node', { labels: { 'px.io/decommissioned': 'true' } }, false],
    ['a tainted node', { taints: [{ key: 'gpu', effect: 'NoSchedule' }] }, false],
    ['a node to be avoided', { taints: [{ key: 'gpu', effect: 'PreferNoSchedule' }] }, true],
    [
      'a cordoned node',
      { taints: [{ key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' }] },
      true,
    ],
    [
      'a dead node',
      { taints: [{ key: 'node.kubernetes.io/unreachable', effect: 'NoExecute' }] },
      true,
    ],
    [
      'a node out of service',
      { taints: [{ key: 'node.kubernetes.io/out-of-service', effect: 'NoExecute' }] },
      true,
    ],
  ];
  it.each(cases)('%s', (_, more, expected) => {
    expect(mayRun(testNode('node-1', more), placement)).toBe(expected);
  });
});

describe('a placement that somebody chose', () => {
  const term = (key: string, operator: 'In' | 'Gt' | 'Lt' | 'Exists', values?: string[]) => ({
    nodeAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: {
        nodeSelectorTerms: [
          { matchExpressions: [{ key, operator, ...(values === undefined ? {} : { values }) }] },
        ],
      },
    },
  });
  const cases: readonly [
    string,
    Parameters<typeof placementOf>[0],
    Parameters<typeof testNode>[1],
    boolean,
  ][] = [
    ['by value', term('disk', 'In', ['ssd']), { labels: { disk: 'ssd' } }, true],
    ['by another value', term('disk', 'In', ['ssd']), { labels: { disk: 'hdd' } }, false],
    ['by a number above', term('gen', 'Gt', ['3']), { labels: { gen: '4' } }, true],
    ['by a number that is not above', term('gen', 'Gt', ['3']), { labels: { gen: '3' } }, false],
    ['by a number below', term('gen', 'Lt', ['3']), { labels: { gen: '2' } }, true],
    [
      'the control plane, on purpose',
      term('node-role.kubernetes.io/control-plane', 'Exists'),
      { labels: { 'node-role.kubernetes.io/control-plane': '' } },
      true,
    ],
    [
      'never a decommissioned node',
      term('disk', 'In', ['ssd']),
      { labels: { disk: 'ssd', 'px.io/decommissioned': 'true' } },
      false,
    ],
    [
      'a taint that is tolerated',
      { tolerations: [{ key: 'gpu', operator: 'Exists' }] },
      { taints: [{ key: 'gpu', value: 'yes', effect: 'NoSchedule' }] },
      true,
    ],
    [
      'a taint of another value',
      { tolerations: [{ key: 'gpu', operator: 'Equal', value: 'no' }] },
      { taints: [{ key: 'gpu', value: 'yes', effect: 'NoSchedule' }] },
      false,
    ],
    [
      'only preferred nodes: then any may be one',
      { nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [] } },
      { labels: { 'node-role.kubernetes.io/control-plane': '' } },
      true,
    ],
  ];
  it.each(cases)('%s', (_, asked, more, expected) => {
    expect(mayRun(testNode('node-1', more), placementOf(asked))).toBe(expected);
  });

  it('keeps what only scores nodes', () => {
    const preferred = [{ weight: 1, preference: { matchExpressions: [] } }];
    const asked = { nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: preferred } };
    expect(placementOf(asked).nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution).toEqual(
      preferred,
    );
  });
});
