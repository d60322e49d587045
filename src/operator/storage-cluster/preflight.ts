import { isKvdbInternal, type StorageCluster } from '../../crds/storage-cluster.js';
import { unsupportedFields } from '../../crds/unsupported-fields.js';
import { eligibleNodes } from './build-plan.js';
import { clusterIdProblem } from './cluster-id.js';
import { namesForeignImage } from './images.js';
import { parseMiscArgs } from './misc-args.js';
import { annotationKeys, driverName, labelKeys } from './names.js';
import { appliesTo, nodeSettings } from './node-overrides.js';
import type { PreflightInput } from './observed.js';
import { runtimeOptions } from './runtime-options.js';

export interface PreflightResult {
  /** Nothing is made while one of these stands: one sentence each, with the field. */
  readonly blocking: readonly string[];
  /** What a person should look at, while px runs. */
  readonly warnings: readonly string[];
}

export function preflight(input: PreflightInput): PreflightResult {
  const { observed } = input;
  const surroundings = [...present(driverProblem(input)), ...present(podSecurityProblem(input))];
  const skipped = ['skip', 'false'].includes(
    observed.cluster.metadata.annotations?.[annotationKeys.preflightCheck] ?? '',
  );
  return {
    blocking: [
      ...present(clusterIdProblem(observed.cluster)),
      ...storageProblems(input),
      ...secretProblems(input),
      ...(skipped ? [] : surroundings),
    ],
    warnings: [
      ...(skipped ? surroundings : []),
      ...(eligibleNodes(observed).length === 0
        ? ['spec.placement: no node of the cluster matches, so px runs nowhere']
        : []),
      ...overridesWithoutNodes(input),
      ...optionProblems(input),
    ],
  };
}

/** Fields that mean nothing here; the spec is as the API server has it. */
export function unsupported(cluster: StorageCluster): readonly string[] {
  const fields = unsupportedFields(cluster.spec).map(
    ({ path, message }) => `spec.${path}: ${message}`,
  );
  const { unsupported: args } = parseMiscArgs(
    cluster.metadata.annotations?.[annotationKeys.miscArgs],
  );
  return [
    ...fields,
    ...(namesForeignImage(cluster.spec)
      ? [`spec.image: ${cluster.spec.image} is another product's; px runs its own image`]
      : []),
    ...args.map(
      (arg) => `metadata.annotations[${annotationKeys.miscArgs}]: "${arg}" is not supported`,
    ),
  ];
}

function storageProblems({ observed }: PreflightInput): string[] {
  const { spec } = observed;
  const places = [
    { where: 'spec.storage', storage: spec.storage },
    ...(spec.nodes ?? []).map(({ storage }, index) => ({
      where: `spec.nodes[${index}].storage`,
      storage,
    })),
  ];
  return places.flatMap(({ where, storage }) => {
    const devices = storage?.devices ?? [];
    const twice = devices.find((device, index) => devices.indexOf(device) !== index);
    return [
      ...(twice === undefined ? [] : [`${where}.devices: ${twice} stands there twice`]),
      ...devices
        .filter((device) => !device.startsWith('/'))
        .map((device) => `${where}.devices: ${device} must be an absolute path`),
    ];
  });
}

function secretProblems({ observed, secretsThere }: PreflightInput): string[] {
  const { spec, cluster } = observed;
  const namespace = cluster.metadata.namespace ?? 'default';
  const asked = [
    ...(isKvdbInternal(spec)
      ? []
      : [{ where: 'spec.kvdb.authSecret', name: spec.kvdb?.authSecret }]),
    { where: 'spec.imagePullSecret', name: spec.imagePullSecret },
  ];
  return asked.flatMap(({ where, name }) =>
    name === undefined || secretsThere(name)
      ? []
      : [`${where}: there is no Secret ${name} in the namespace ${namespace}`],
  );
}

/** Two drivers of one name on one kubelet would take each other's volumes. */
function driverProblem({ csiDriver, observed }: PreflightInput): string | undefined {
  if (!observed.spec.csi.enabled || csiDriver === undefined) return undefined;
  if (csiDriver.metadata.labels?.[labelKeys.managedBy] === 'px-operator') return undefined;
  return (
    `the CSIDriver ${driverName} was made by another installation: uninstall that first, ` +
    'or delete the CSIDriver if nothing uses it'
  );
}

function podSecurityProblem({ namespaceLabels, observed }: PreflightInput): string | undefined {
  const level = namespaceLabels['pod-security.kubernetes.io/enforce'];
  if (level === undefined || level === 'privileged') return undefined;
  const namespace = observed.cluster.metadata.namespace ?? 'default';
  return (
    `the namespace ${namespace} enforces the Pod Security level "${level}", which forbids the ` +
    'storage pods: label it pod-security.kubernetes.io/enforce=privileged'
  );
}

function overridesWithoutNodes({ observed }: PreflightInput): string[] {
  const nodes = eligibleNodes(observed);
  return (observed.spec.nodes ?? []).flatMap((override, index) =>
    nodes.some((node) => appliesTo(override, node))
      ? []
      : [`spec.nodes[${index}].selector: matches no node that may run px`],
  );
}

/** Variables of a single node's entry: one pod template serves all nodes. */
const ownVariables = ['PWX_ZONE', 'PWX_REGION', 'PWX_RACK'];

function optionProblems({ observed }: PreflightInput): string[] {
  const found = new Set<string>();
  for (const problem of runtimeOptions(observed.spec.runtimeOptions ?? {}).problems) {
    found.add(`spec.runtimeOptions.${problem}`);
  }
  for (const node of eligibleNodes(observed)) {
    const settings = nodeSettings(observed.spec, node);
    for (const problem of runtimeOptions(settings.runtimeOptions).problems) {
      found.add(`spec.nodes[].runtimeOptions.${problem}`);
    }
    for (const { name } of settings.ownEnv) {
      if (ownVariables.includes(name)) continue;
      found.add(`spec.nodes[].env: ${name} can only be set for all nodes, in spec.env`);
    }
  }
  return [...found];
}

function present(problem: string | undefined): readonly string[] {
  return problem === undefined ? [] : [problem];
}
