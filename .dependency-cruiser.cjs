/** The layers of ARCHITECTURE.md. Folders meet only where a rule below allows it. */
module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'kernel-is-pure',
      comment: 'The shared kernel holds pure types and functions only.',
      severity: 'error',
      from: { path: '^src/kernel', pathNot: '\\.test\\.ts$' },
      to: { pathNot: '^src/kernel' },
    },
    {
      name: 'protocol-is-pure',
      comment: 'No clock, socket, file or random number: the simulation drives the shipped code.',
      severity: 'error',
      from: { path: '^src/dataplane/(protocol|wire)', pathNot: '\\.test\\.ts$' },
      to: { pathNot: '^src/(kernel|dataplane/(protocol|wire))|@node-rs/crc32' },
    },
    {
      name: 'platform-knows-no-program',
      severity: 'error',
      from: { path: '^src/platform' },
      to: { path: '^src/(csi|operator|dataplane|pxctl)' },
    },
    {
      name: 'programs-meet-through-proto',
      comment: 'csi, operator, pxctl and dataplane meet only in proto/ and the kernel.',
      severity: 'error',
      from: { path: '^src/(csi|operator|dataplane|pxctl)/' },
      to: { path: '^src/(csi|operator|dataplane|pxctl)/', pathNot: '^src/$1/' },
    },
    {
      name: 'only-main-loads-main',
      severity: 'error',
      from: {},
      to: { path: 'main\\.ts$' },
    },
    {
      name: 'crds-know-no-program',
      comment: 'The custom resources are one source for types, manifests and documents.',
      severity: 'error',
      from: { path: '^src/crds' },
      to: { path: '^src/(csi|operator|dataplane|pxctl|platform)' },
    },
    {
      name: 'kubernetes-client-only-in-kube',
      severity: 'error',
      from: { pathNot: '^src/operator/kube/' },
      to: { path: 'node_modules/@kubernetes/client-node' },
    },
    {
      name: 'koffi-only-in-sys',
      severity: 'error',
      from: { pathNot: '^src/dataplane/sys/' },
      to: { path: 'node_modules/koffi' },
    },
    {
      name: 'etcd3-only-in-kvdb',
      severity: 'error',
      from: { pathNot: '^src/dataplane/kvdb/' },
      to: { path: 'node_modules/etcd3' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    exclude: { path: '^src/gen' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default'],
    },
  },
};
