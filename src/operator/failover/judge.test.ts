import { judge, type FailoverEvidence, type NodeEvidence } from './judge.js';
import type { KubeletSilence } from './kubelet-leases.js';
import { failoverSettings } from './settings.js';

const settings = failoverSettings({});
const alive: KubeletSilence = { silentMs: 4_000, renewEveryMs: 10_000, renewedSinceStart: true };
const silent = (silentMs: number): KubeletSilence => ({ ...alive, silentMs });
const dead = silent(21_000);

function node(name: string, over: Partial<NodeEvidence> = {}): NodeEvidence {
  return {
    name,
    px: { id: `px-${name}`, state: 'operational' },
    kubelet: alive,
    taint: 'none',
    fenced: undefined,
    ...over,
  };
}

const offline = { id: 'px-a', state: 'offline' };

function evidence(
  a: Partial<NodeEvidence>,
  over: Partial<FailoverEvidence> & { readonly others?: readonly NodeEvidence[] } = {},
): FailoverEvidence {
  const nodes = [node('a', a), ...(over.others ?? [node('b'), node('c')])];
  const kubelets = nodes.flatMap(({ name, kubelet }) =>
    kubelet === undefined ? [] : [{ name, silence: kubelet }],
  );
  return { nodes, kubelets, pxIsFresh: true, ...over };
}

const failOver = (cause: string, force: boolean) => [
  { kind: 'fail-over', node: 'a', pxId: 'px-a', force, cause },
];
const evacuate = (cause: string) => [{ kind: 'evacuate', node: 'a', cause }];
const release = [{ kind: 'release', node: 'a' }];

describe('which nodes are failed over', () => {
  it.each<[string, Partial<NodeEvidence>, readonly object[]]>([
    ['all is well', {}, []],
    ['px is gone, the kubelet lives', { px: offline }, []],
    ['the kubelet is silent, px lives', { kubelet: dead }, []],
    ['the kubelet is not silent for long enough', { px: offline, kubelet: silent(19_999) }, []],
    ['both are silent', { px: offline, kubelet: dead }, failOver('dead', false)],
    ['its lease was never seen', { px: offline, kubelet: undefined }, []],
    ['px never ran there', { px: undefined, kubelet: dead }, []],
    ['a user says so, though it lives', { taint: 'user' }, failOver('taint', true)],
    [
      'a user says so, and it is dead',
      { taint: 'user', px: offline, kubelet: dead },
      failOver('taint', true),
    ],
    [
      'dead and fenced: what is left is moved',
      { px: offline, kubelet: dead, taint: 'ours', fenced: 'dead' },
      evacuate('dead'),
    ],
    [
      'dead and fenced, and this operator has just started',
      {
        px: offline,
        kubelet: { silentMs: 500, renewEveryMs: 10_000, renewedSinceStart: false },
        taint: 'ours',
        fenced: 'dead',
      },
      evacuate('dead'),
    ],
    [
      'dead and fenced, the taint was removed by hand',
      { px: offline, kubelet: dead, fenced: 'dead' },
      failOver('dead', false),
    ],
    ['fenced, px is back alone', { kubelet: dead, taint: 'ours', fenced: 'dead' }, []],
    ['fenced, the kubelet is back alone', { px: offline, taint: 'ours', fenced: 'dead' }, []],
    ['fenced and back', { taint: 'ours', fenced: 'dead' }, release],
    ['back, its mark was removed by hand', { taint: 'ours' }, release],
    ['fenced, then forgotten, and back', { px: undefined, taint: 'ours', fenced: 'dead' }, release],
    [
      'fenced, then forgotten, and away',
      { px: undefined, taint: 'ours', fenced: 'dead', kubelet: dead },
      [],
    ],
    ['fenced for a user, it lives', { taint: 'user', fenced: 'taint' }, []],
    ['fenced for a user who took the taint away', { fenced: 'taint' }, release],
    [
      'fenced for a user, then it died',
      { taint: 'user', fenced: 'taint', px: offline, kubelet: dead },
      evacuate('taint'),
    ],
  ])('%s', (_, a, expected) => {
    expect(judge(evidence(a), settings).actions).toEqual(expected);
  });

  it('is not judged by an answer of px that is old', () => {
    const verdict = judge(evidence({ px: offline, kubelet: dead }, { pxIsFresh: false }), settings);
    expect(verdict.actions).toEqual([]);
  });

  it('acts on a silent kubelet alone when the cluster asks for it, by force', () => {
    const asked = failoverSettings({ annotations: { 'px.io/failover-when-unreachable': 'true' } });
    expect(judge(evidence({ kubelet: dead }), asked).actions).toEqual(
      failOver('unreachable', true),
    );
  });
});

describe('what forbids to act', () => {
  const lost: Partial<NodeEvidence> = { px: offline, kubelet: dead };
  const held = (verdict: ReturnType<typeof judge>) => verdict.held.map(({ node: name }) => name);

  it('holds when no other kubelet was heard of: this operator may be cut off', () => {
    const others = [node('b', { kubelet: silent(16_000) })];
    const verdict = judge(evidence(lost, { others }), settings);
    expect(verdict.actions).toEqual([]);
    expect(held(verdict)).toEqual(['a']);
    expect(verdict.held[0]?.reason).toMatch(/operator that is cut off/);
  });

  it('holds while other kubelets were only found, not seen to renew', () => {
    const found: KubeletSilence = { ...alive, renewedSinceStart: false };
    const verdict = judge(
      evidence(lost, { others: [node('b', { kubelet: found }), node('c', { kubelet: found })] }),
      settings,
    );
    expect(verdict.actions).toEqual([]);
    expect(held(verdict)).toEqual(['a']);
  });

  it('holds when more than half of the nodes seem dead', () => {
    const others = [node('b', { ...lost, px: { id: 'px-b', state: 'offline' } }), node('c')];
    const verdict = judge(evidence(lost, { others }), settings);
    expect(verdict.actions).toEqual([]);
    expect(held(verdict)).toEqual(['a', 'b']);
  });

  it('acts for one of two nodes, and with a witness that is no px node', () => {
    const bystander = node('control-plane', { px: undefined });
    const others = [node('b', { kubelet: silent(16_000) }), bystander];
    expect(judge(evidence(lost, { others }), settings).actions).toEqual(failOver('dead', false));
  });

  it('holds when failover is switched off, but not against a user', () => {
    const off = failoverSettings({ annotations: { 'px.io/failover': 'false' } });
    expect(held(judge(evidence(lost), off))).toEqual(['a']);
    expect(judge(evidence({ taint: 'user' }), off).actions).toEqual(failOver('taint', true));
  });

  it('still moves what is left on a node that was fenced before', () => {
    const others = [node('b', { ...lost, px: { id: 'px-b', state: 'offline' } }), node('c')];
    const fenced = { ...lost, taint: 'ours', fenced: 'dead' } as const;
    expect(judge(evidence(fenced, { others }), settings).actions).toEqual(evacuate('dead'));
  });
});

describe('when to look again soon', () => {
  it.each<[string, Partial<NodeEvidence>, boolean]>([
    ['all is well', {}, false],
    ['a renewal is overdue', { kubelet: silent(12_500) }, true],
    ['px is away while the kubelet lives', { px: offline }, false],
    ['dead for long, and nothing can be done', { px: offline, kubelet: silent(300_000) }, false],
    ['fenced: its return tells itself', { kubelet: dead, fenced: 'dead', taint: 'ours' }, false],
  ])('%s', (_, a, expected) => {
    expect(judge(evidence(a), settings).suspicious).toBe(expected);
  });
});
