import { runtimeOptions } from './runtime-options.js';

it.each([
  [{ 'io-threads': '4' }, { ioThreads: 4 }],
  [{ 'log-level': 'warn' }, { logLevel: 'warn' }],
  [{ 'resync-mib-per-second': '100' }, { timing: { resyncBytesPerSecond: 104_857_600 } }],
  [
    { 'resync-mib-per-second': '1', 'timing-replica-timeout-ms': '5000' },
    { timing: { resyncBytesPerSecond: 1_048_576, replicaTimeoutMs: 5000 } },
  ],
  [{ 'replace-replica-after-minutes': '90' }, { timing: { replaceReplicaAfterMs: 5_400_000 } }],
  // Of other parts of the operator.
  [{ 'failover-seconds': '30' }, {}],
])('%j', (options, config) => {
  expect(runtimeOptions(options as Record<string, string>)).toEqual({ config, problems: [] });
});

it.each([
  ['io-threads', '0', 'io-threads: "0" must be a whole number from 1 to 64'],
  ['io-threads', '4.5', 'io-threads: "4.5" must be a whole number from 1 to 64'],
  ['log-level', 'loud', 'log-level: "loud" must be debug, info, warn or error'],
])('%s=%s is refused', (name, value, problem) => {
  expect(runtimeOptions({ [name]: value })).toEqual({ config: {}, problems: [problem] });
});
