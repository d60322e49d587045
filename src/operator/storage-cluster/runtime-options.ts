/**
 * `runtimeOptions`: settings of the data plane by name. Those with other
 * prefixes belong to other controllers of the operator; names that nobody
 * knows are reported with the unsupported fields.
 */
interface Option {
  readonly expected: string;
  read(value: string): Readonly<Record<string, unknown>> | undefined;
}

const mebibyte = 1024 * 1024;

function whole(min: number, max: number, build: (value: number) => object): Option {
  return {
    expected: `a whole number from ${min} to ${max}`,
    read: (text) => {
      const value = Number(text);
      const fits = /^\d+$/.test(text) && value >= min && value <= max;
      return fits ? (build(value) as Readonly<Record<string, unknown>>) : undefined;
    },
  };
}

const known: Readonly<Record<string, Option>> = {
  'io-threads': whole(1, 64, (ioThreads) => ({ ioThreads })),
  'log-level': {
    expected: 'debug, info, warn or error',
    read: (value) =>
      ['debug', 'info', 'warn', 'error'].includes(value) ? { logLevel: value } : undefined,
  },
  'replace-replica-after-minutes': whole(1, 100_000, (minutes) => ({
    timing: { replaceReplicaAfterMs: minutes * 60_000 },
  })),
  'resync-mib-per-second': whole(1, 100_000, (rate) => ({
    timing: { resyncBytesPerSecond: rate * mebibyte },
  })),
  'timing-replica-timeout-ms': whole(1_000, 60_000, (replicaTimeoutMs) => ({
    timing: { replicaTimeoutMs },
  })),
};

export interface RuntimeOptions {
  /** Fields of px-node's configuration. */
  readonly config: Readonly<Record<string, unknown>>;
  /** `name: what is wrong with the value`. */
  readonly problems: readonly string[];
}

export function runtimeOptions(options: Readonly<Record<string, string>>): RuntimeOptions {
  const config: Record<string, unknown> = {};
  const timing: Record<string, unknown> = {};
  const problems: string[] = [];
  for (const [name, value] of Object.entries(options)) {
    const option = known[name];
    if (option === undefined) continue;
    const { timing: ofTiming, ...fields } = option.read(value.trim()) ?? { timing: undefined };
    if (option.read(value.trim()) === undefined) {
      problems.push(`${name}: "${value}" must be ${option.expected}`);
    }
    Object.assign(config, fields);
    Object.assign(timing, ofTiming);
  }
  return {
    config: Object.keys(timing).length === 0 ? config : { ...config, timing },
    problems,
  };
}
