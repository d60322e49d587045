import { mergeClaim, withClaim, type Claims } from './claim-parameters.js';

const ofClass = {
  repl: '3',
  io_profile: 'auto',
  'csi.storage.k8s.io/pvc/name': 'data',
  'csi.storage.k8s.io/pvc/namespace': 'shop',
};
const none = { labels: {}, annotations: {} };

describe('mergeClaim', () => {
  it.each([
    ['nothing', none, {}],
    [
      'an allowed annotation',
      { ...none, annotations: { io_profile: 'none' } },
      { io_profile: 'none' },
    ],
    [
      'one with our prefix',
      { ...none, annotations: { 'px/queue_depth': '8' } },
      { queue_depth: '8' },
    ],
    ['a label of its own', { ...none, labels: { app: 'db' } }, { app: 'db' }],
    ['an allowed label', { ...none, labels: { group: 'g' } }, { group: 'g' }],
    ['a label that only sounds like a parameter', { ...none, labels: { size: 'l' } }, {}],
    ['what the class says too', { ...none, annotations: { repl: '3' } }, {}],
    ["others' annotations", { ...none, annotations: { 'volume.kubernetes.io/x': 'y' } }, {}],
    [
      'annotation over label',
      { labels: { group: 'a' }, annotations: { group: 'b' } },
      { group: 'b' },
    ],
  ])('takes %s', (_what, claim, changes) => {
    expect(mergeClaim(ofClass, claim, 'shop/data')).toEqual({ ...ofClass, ...changes });
  });

  it.each([
    'repl',
    'secure',
    'nodes',
    'storagepolicy',
    'sharedv4',
    'io_throttle_rd_iops',
    'sticky',
  ])('refuses %s, by name', (key) => {
    const claim = { ...none, annotations: { [`px/${key}`]: '1' } };
    expect(() => mergeClaim(ofClass, claim, 'shop/data')).toThrow(
      new RegExp(`claim shop/data: "${key}" can't be set by a claim`),
    );
  });

  it("never lets a claim's label stand over the class", () => {
    const claim = { ...none, labels: { tier: 'gold' } };
    expect(mergeClaim({ tier: 'bronze' }, claim, 'a/b')).toEqual({ tier: 'bronze' });
  });
});

describe('withClaim', () => {
  const claims: Claims = {
    read: async (namespace, name) =>
      namespace === 'shop' && name === 'data'
        ? { labels: {}, annotations: { queue_depth: '4' } }
        : undefined,
  };

  it('reads the claim that the provisioner names', async () => {
    await expect(withClaim(claims, ofClass)).resolves.toMatchObject({ queue_depth: '4' });
  });

  it('goes by the class alone without a claim, or without Kubernetes', async () => {
    const gone = { ...ofClass, 'csi.storage.k8s.io/pvc/name': 'gone' };
    await expect(withClaim(claims, gone)).resolves.toEqual(gone);
    await expect(withClaim(claims, { repl: '2' })).resolves.toEqual({ repl: '2' });
    await expect(withClaim(undefined, ofClass)).resolves.toEqual(ofClass);
  });
});
