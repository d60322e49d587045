import { PxError } from '../../kernel/errors.js';
import { isParameterKey } from '../parameters/storage-class.js';

/** What a claim says of itself, as far as it concerns the volume. */
export interface ClaimMetadata {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

/** Where claims are read; absent outside of Kubernetes. */
export interface Claims {
  /** Undefined when there is no such claim any more. */
  read(namespace: string, name: string): Promise<ClaimMetadata | undefined>;
}

/**
 * What a claim may ask beyond its class. A claim is a tenant's, a class is the
 * administrator's: nothing here adds copies, leaves encryption out, moves a
 * volume elsewhere or lifts a limit.
 */
const allowedKeys: readonly string[] = [
  'group',
  'io_profile',
  'label',
  'labels',
  'nodiscard',
  'queue_depth',
  'snap_interval',
  'snap_schedule',
];

const nameKey = 'csi.storage.k8s.io/pvc/name';
const namespaceKey = 'csi.storage.k8s.io/pvc/namespace';

/**
 * The class's parameters with the claim's own over them. A label or annotation
 * asks for a parameter by its name, or by `px/` and its name; labels that name
 * none become labels of the volume, where rules of placement find them.
 */
export async function withClaim(
  claims: Claims | undefined,
  parameters: Readonly<Record<string, string>>,
): Promise<Readonly<Record<string, string>>> {
  const name = parameters[nameKey] ?? '';
  const namespace = parameters[namespaceKey] ?? '';
  if (claims === undefined || name === '' || namespace === '') return parameters;
  const claim = await claims.read(namespace, name);
  return claim === undefined ? parameters : mergeClaim(parameters, claim, `${namespace}/${name}`);
}

export function mergeClaim(
  parameters: Readonly<Record<string, string>>,
  claim: ClaimMetadata,
  claimName: string,
): Readonly<Record<string, string>> {
  const asked = { ...fromLabels(claim.labels), ...parametersIn(claim.annotations) };
  for (const [key, value] of Object.entries(asked)) {
    // Saying what the class says anyway asks for nothing.
    if (allowedKeys.includes(key) || parameters[key] === value) continue;
    throw new PxError(
      'invalid_argument',
      `claim ${claimName}: "${key}" can't be set by a claim; its StorageClass decides it ` +
        `(a claim may set ${allowedKeys.join(', ')})`,
      { key },
    );
  }
  const merged: Record<string, string> = {};
  for (const [key, value] of Object.entries(claim.labels)) {
    if (parameterOf(key) === undefined) merged[key] = value;
  }
  return { ...merged, ...parameters, ...asked };
}

/**
 * A label such as `size: large` was hardly written for us: a name alone counts
 * only where a claim may use it, and otherwise is left out.
 */
function fromLabels(labels: Readonly<Record<string, string>>): Record<string, string> {
  const meant = Object.entries(labels).filter(
    ([key]) => allowedKeys.includes(key) || key.startsWith('px/'),
  );
  return parametersIn(Object.fromEntries(meant));
}

function parametersIn(entries: Readonly<Record<string, string>>): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [key, value] of Object.entries(entries)) {
    const parameter = parameterOf(key);
    if (parameter !== undefined) found[parameter] = value;
  }
  return found;
}

function parameterOf(key: string): string | undefined {
  const bare = key.startsWith('px/') ? key.slice('px/'.length) : key;
  if (isParameterKey(bare)) return bare;
  return isParameterKey(key) ? key : undefined;
}
