import { runtimeOptionNames } from './runtime-options.js';
import { storageClusterSpec } from './storage-cluster.js';
import { structuralSchema, unknownFields, type StructuralSchema } from './structural-schema.js';

export interface UnsupportedField {
  /** As it stands below `spec`: `stork`, `nodes[1].storage.cacheDevices`. */
  readonly path: string;
  readonly message: string;
}

interface Entry {
  readonly path: string;
  readonly message: string;
  /** Values that ask for nothing we lack; absence always is one. */
  readonly fine?: (value: unknown) => boolean;
}

const off = (value: unknown): boolean => value === false;
const offOrDisabled = (value: unknown): boolean => field(value, 'enabled') === false;
const notEnabled = (value: unknown): boolean => field(value, 'enabled') !== true;
const empty = (value: unknown): boolean =>
  (Array.isArray(value) || typeof value === 'object') &&
  value !== null &&
  Object.keys(value).length === 0;

const ofEachNode: readonly Entry[] = [
  {
    path: 'storage.useAllWithPartitions',
    message: 'partitions are not taken by themselves: name them in storage.devices',
    fine: off,
  },
  { path: 'storage.cacheDevices', message: 'there is no cache on devices', fine: empty },
  {
    path: 'storage.journalDevice',
    message: 'there is no journal of its own: replicas are written in place',
  },
  {
    path: 'storage.systemMetadataDevice',
    message: 'metadata lies beside the data, on the devices of each pool',
  },
  { path: 'storage.kvdbDevice', message: 'the internal kvdb lies below /var/lib/px on the node' },
];

const entries: readonly Entry[] = [
  {
    path: 'cloudStorage',
    message: 'px asks no cloud for volumes: attach devices to the nodes and name them in storage',
    fine: empty,
  },
  ...ofEachNode,
  ...ofEachNode.map((entry) => ({ ...entry, path: `nodes[].${entry.path}` })),
  {
    path: 'nodes[].cloudStorage',
    message: 'px asks no cloud for volumes: attach devices to the nodes and name them in storage',
    fine: empty,
  },
  {
    path: 'secretsProvider',
    message: 'the only provider is k8s: keys are in Secrets',
    fine: (value) => value === 'k8s',
  },
  { path: 'featureGates', message: 'px has no feature gates', fine: empty },
  {
    path: 'preserveFullCustomImageRegistry',
    message: 'images keep their path behind customImageRegistry, without their registry',
    fine: off,
  },
  {
    path: 'updateStrategy.rollingUpdate.disruption',
    message: 'updates never interrupt volumes',
    fine: (value) => field(value, 'allow') !== true,
  },
  {
    path: 'csi.topology.enabled',
    message: 'the driver always tells where nodes are',
    fine: (value) => value === true,
  },
  {
    path: 'csi.installSnapshotCRDs',
    message:
      'install the definitions of VolumeSnapshots from the release of the snapshot controller',
    fine: off,
  },
  {
    path: 'stork',
    message: 'px installs no Stork: the driver tells the scheduler',
    fine: offOrDisabled,
  },
  { path: 'autopilot', message: 'px installs no Autopilot', fine: offOrDisabled },
  { path: 'userInterface', message: 'px has no console yet: use pxctl', fine: offOrDisabled },
  {
    path: 'monitoring.prometheus.enabled',
    message: 'px installs no Prometheus: set exportMetrics for one that is there',
    fine: off,
  },
  {
    path: 'monitoring.prometheus.alertManager',
    message: 'px installs no Alertmanager',
    fine: notEnabled,
  },
  {
    path: 'monitoring.prometheus.remoteWriteEndpoint',
    message: 'set it on the Prometheus that scrapes px',
  },
  { path: 'monitoring.grafana', message: 'px installs no Grafana', fine: notEnabled },
  { path: 'monitoring.telemetry', message: 'px reports to nobody', fine: notEnabled },
  {
    path: 'security.auth',
    message: 'callers are not checked by tokens',
    fine: offOrDisabled,
  },
  {
    path: 'security.tls',
    message:
      'nodes started by the operator talk to each other without TLS: keep them on a network of their own',
    fine: offOrDisabled,
  },
  {
    path: 'autoUpdateComponents',
    message: 'components follow the release of the operator',
    fine: (value) => value === 'Never',
  },
  {
    path: 'metadata',
    message: 'labels and annotations of what the operator makes are fixed',
    fine: empty,
  },
];

let known: StructuralSchema | undefined;

/**
 * What the spec asks for and px does not do, and what px does not know: each
 * with the reason, so that nothing is silently ignored. Takes the spec as the
 * API server has it.
 */
export function unsupportedFields(spec: unknown): UnsupportedField[] {
  known ??= structuralSchema(storageClusterSpec);
  const unknown = unknownFields(known, spec).map((path) => ({
    path,
    message: 'px does not know this field',
  }));
  const options = ['runtimeOptions', 'nodes[].runtimeOptions'].flatMap((path) =>
    valuesAt(spec, path).flatMap(([at, value]) =>
      Object.keys(asRecord(value))
        .filter((name) => runtimeOptionNames[name] === undefined)
        .map((name) => ({ path: `${at}.${name}`, message: 'px has no such runtime option' })),
    ),
  );
  const unsupported = entries.flatMap(({ path, message, fine }) =>
    valuesAt(spec, path)
      .filter(([, value]) => fine?.(value) !== true)
      .map(([at]) => ({ path: at, message })),
  );
  return [...unsupported, ...options, ...unknown].sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Every place that a path names, with what is there; `[]` stands for each item of a list. */
function valuesAt(value: unknown, path: string): (readonly [string, unknown])[] {
  let found: (readonly [string, unknown])[] = [['', value]];
  for (const part of path.split('.')) {
    const name = part.replace('[]', '');
    found = found
      .map(([at, parent]) => [at === '' ? name : `${at}.${name}`, field(parent, name)] as const)
      .filter(([, child]) => child !== undefined && child !== null && child !== '');
    if (part.endsWith('[]')) {
      found = found.flatMap(([at, list]) =>
        Array.isArray(list) ? list.map((item, index) => [`${at}[${index}]`, item] as const) : [],
      );
    }
  }
  return found;
}

function field(value: unknown, name: string): unknown {
  return asRecord(value)[name];
}

function asRecord(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
    ? (value as Readonly<Record<string, unknown>>)
    : {};
}
