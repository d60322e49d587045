import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { PxError } from '../../kernel/errors.js';

const poolClass = z.enum(['high', 'medium', 'low']);

/** A device or directory: its path, or its path with a class that beats the measured one. */
const drive = z.union([
  z.string().startsWith('/', 'must be an absolute path'),
  z.strictObject({
    path: z.string().startsWith('/', 'must be an absolute path'),
    class: poolClass.optional(),
  }),
]);

const storage = z
  .strictObject({
    devices: z.array(drive).default([]),
    useAll: z.boolean().default(false),
    /** `devices` are those of many nodes: one that has none of them stores nothing, and is well. */
    devicesOptional: z.boolean().default(false),
    /** Directories of existing file systems: nothing is formatted. */
    directory: drive.optional(),
    directories: z.array(drive).default([]),
    /** Formats devices that carry a foreign signature. */
    force: z.boolean().default(false),
    /** A class for every drive that names none of its own. */
    class: poolClass.optional(),
  })
  .default({ devices: [], useAll: false, devicesOptional: false, directories: [], force: false });

const milliseconds = z.int().positive();

const timing = z
  .strictObject({
    heartbeatMs: milliseconds.default(1_000),
    leaseMs: milliseconds.default(4_000),
    replicaTimeoutMs: milliseconds.default(4_000),
    cleanIntervalMs: milliseconds.default(30_000),
    /** A replica whose node stays away for longer is made anew on another node. */
    replaceReplicaAfterMs: milliseconds.default(1_800_000),
    resyncBytesPerSecond: z
      .int()
      .positive()
      .default(200 * 1024 * 1024),
  })
  .refine((value) => value.leaseMs >= 2 * value.heartbeatMs, {
    message: 'must be at least twice heartbeatMs',
    path: ['leaseMs'],
  })
  .prefault({});

const port = z.int().min(1).max(65_535);

const absolutePath = z.string().startsWith('/', 'must be an absolute path');

/** Between nodes: see docs/how-to/tls.md. */
const tls = z.strictObject({ certFile: absolutePath, keyFile: absolutePath, caFile: absolutePath });

export const nodeConfigSchema = z
  .strictObject({
    clusterid: z.string().regex(/^[A-Za-z0-9._-]{1,63}$/, 'must be letters, digits, ".", "_", "-"'),
    name: z.string().min(1).optional(),
    nodeName: z.string().min(1).optional(),
    mgtiface: z.string().min(1).optional(),
    dataiface: z.string().min(1).optional(),
    /** Addresses that beat the interfaces. */
    addresses: z
      .strictObject({ mgmt: z.string().min(1).optional(), data: z.string().min(1).optional() })
      .default({}),
    kvdb: z.union([z.string().min(1), z.array(z.string().min(1)).min(1)]),
    /** Members of the internal kvdb: one address or three; the node's own alone when empty. */
    kvdbMembers: z.array(z.string().min(1)).default([]),
    /**
     * The internal kvdb was founded with other members: a member without data
     * joins it, and takes out the members that are not in the list any more.
     */
    kvdbExists: z.boolean().default(false),
    kvdbUsername: z.string().optional(),
    kvdbPassword: z.string().optional(),
    /** Files, as a mounted Secret has them, instead of the two above. */
    kvdbUsernameFile: absolutePath.optional(),
    kvdbPasswordFile: absolutePath.optional(),
    kvdbCaFile: z.string().optional(),
    kvdbCertFile: z.string().optional(),
    kvdbKeyFile: z.string().optional(),
    storage,
    zone: z.string().optional(),
    region: z.string().optional(),
    rack: z.string().optional(),
    labels: z.record(z.string(), z.string()).default({}),
    dataDir: z.string().startsWith('/', 'must be an absolute path').default('/var/lib/px'),
    runDir: z.string().startsWith('/', 'must be an absolute path').default('/run/px'),
    startPort: port.max(65_515).default(9001),
    ioThreads: z.int().min(1).max(64).optional(),
    timing,
    tls: tls.optional(),
    logLevel: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
    logFormat: z.enum(['json', 'human']).default('json'),
  })
  .refine((config) => [0, 1, 3].includes(config.kvdbMembers.length), {
    message: 'must be one address or three',
    path: ['kvdbMembers'],
  })
  .refine((config) => config.kvdbUsername === undefined || config.kvdbUsernameFile === undefined, {
    message: 'must not be given together with kvdbUsername',
    path: ['kvdbUsernameFile'],
  })
  .refine((config) => config.kvdbPassword === undefined || config.kvdbPasswordFile === undefined, {
    message: 'must not be given together with kvdbPassword',
    path: ['kvdbPasswordFile'],
  });

export type FileConfig = z.infer<typeof nodeConfigSchema>;
export type DriveConfig = { readonly path: string; readonly class?: z.infer<typeof poolClass> };

export interface NodeConfig extends Omit<
  FileConfig,
  'kvdb' | 'storage' | 'zone' | 'region' | 'rack'
> {
  readonly kvdb: 'internal' | readonly string[];
  readonly zone: string;
  readonly region: string;
  readonly rack: string;
  readonly storage: {
    readonly devices: readonly DriveConfig[];
    readonly directories: readonly DriveConfig[];
    readonly useAll: boolean;
    readonly devicesOptional: boolean;
    readonly force: boolean;
  };
}

/** Where each service listens, from one number as users of this field know it: 9001 and up. */
export function portsOf(startPort: number) {
  return {
    metrics: startPort,
    mgmt: startPort + 1,
    data: startPort + 2,
    etcdPeer: startPort + 17,
    etcdClient: startPort + 18,
  } as const;
}

export interface ReadConfig {
  readonly config: NodeConfig;
  /** SHA-256 of the file's bytes, hex. */
  readonly hash: string;
}

export function readConfig(
  file: string,
  env: Readonly<Record<string, string | undefined>>,
): ReadConfig {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    throw new PxError('invalid_argument', `cannot read the configuration ${file}`, {}, error);
  }
  const config = withSecretFiles(parseConfig(bytes.toString('utf8'), file, env));
  return { config, hash: createHash('sha256').update(bytes).digest('hex') };
}

function withSecretFiles(config: NodeConfig): NodeConfig {
  const { kvdbUsernameFile: username, kvdbPasswordFile: password } = config;
  return {
    ...config,
    ...(username === undefined ? {} : { kvdbUsername: readSecret('kvdbUsernameFile', username) }),
    ...(password === undefined ? {} : { kvdbPassword: readSecret('kvdbPasswordFile', password) }),
  };
}

/** A line break at the end is the editor's, not the password's. */
function readSecret(field: string, file: string): string {
  try {
    return readFileSync(file, 'utf8').replace(/\r?\n$/, '');
  } catch (error) {
    throw new PxError('invalid_argument', `${field}: cannot read ${file}`, {}, error);
  }
}

export function parseConfig(
  text: string,
  file: string,
  env: Readonly<Record<string, string | undefined>>,
): NodeConfig {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new PxError('invalid_argument', `${file} is not JSON: ${reason}`, {}, error);
  }
  const parsed = nodeConfigSchema.safeParse(json);
  if (!parsed.success) {
    const problems = parsed.error.issues.map(describeIssue);
    throw new PxError('invalid_argument', `${file}: ${problems.join('; ')}`, { problems });
  }
  return complete(parsed.data, env);
}

function complete(
  config: FileConfig,
  env: Readonly<Record<string, string | undefined>>,
): NodeConfig {
  const { devices, directories, directory, useAll, force, class: defaultClass } = config.storage;
  const { devicesOptional } = config.storage;
  const drives = (entries: readonly z.infer<typeof drive>[]): DriveConfig[] =>
    entries.map((entry) => {
      const named = typeof entry === 'string' ? { path: entry } : entry;
      return defaultClass === undefined ? named : { class: defaultClass, ...named };
    });
  const uris = typeof config.kvdb === 'string' ? [config.kvdb] : config.kvdb;
  return {
    ...config,
    kvdb: uris.length === 1 && uris[0] === 'internal' ? 'internal' : uris,
    storage: {
      devices: drives(devices),
      directories: drives(directory === undefined ? directories : [directory, ...directories]),
      useAll,
      devicesOptional,
      force,
    },
    zone: env.PWX_ZONE ?? config.zone ?? 'default',
    region: env.PWX_REGION ?? config.region ?? 'default',
    rack: env.PWX_RACK ?? config.rack ?? 'default',
  };
}

/** Names the field as it stands in the file: `storage.devices[1]: must be …`. */
function describeIssue(issue: z.core.$ZodIssue): string {
  const path = issue.path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`;
    return text === '' ? String(part) : `${text}.${String(part)}`;
  }, '');
  if (issue.code === 'unrecognized_keys') {
    const where = path === '' ? '' : `${path}.`;
    return issue.keys.map((key) => `${where}${key}: is not a known field`).join('; ');
  }
  return `${path === '' ? 'the configuration' : path}: ${issue.message}`;
}
