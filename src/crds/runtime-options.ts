/** Names that `spec.runtimeOptions` knows, with what each sets. */
export const runtimeOptionNames: Readonly<Record<string, string>> = {
  failover: '`false`: no node is failed over by itself; the out-of-service taint still works.',
  'failover-seconds': 'Silence of a kubelet after which its node may count as dead (20).',
  'failover-when-unreachable':
    '`true`: fail over also a node whose kubelet alone is silent while px on it is well.',
  'io-threads': 'I/O threads of the engine, 1 to 64.',
  'log-level': '`debug`, `info`, `warn` or `error`.',
  'replace-replica-after-minutes':
    'After how long an absence of its node a replica is made anew on another one (30).',
  'resync-mib-per-second': 'How fast a replica is brought up to date, at most.',
  'timing-replica-timeout-ms': 'How long a replica may take to answer a write.',
};
