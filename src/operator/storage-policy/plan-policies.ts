import { storagePolicyOf, storagePolicySpec } from '../../crds/storage-policy.js';
import type { StoragePolicyResource } from '../../crds/storage-policy.js';
import type { StoragePolicyStatus__Output } from '../../gen/px/v1/StoragePolicyStatus.js';
import { toPxError } from '../../kernel/errors.js';

/** Under this name the data plane knows which policies are the operator's. */
export const policyOwner = 'kubernetes';

export interface PolicyPut {
  readonly name: string;
  readonly policyJson: string;
}

export interface PolicyPlan {
  /** In this order: what ceases to be the default first, what becomes it last. */
  readonly steps: readonly (
    | { readonly do: 'put'; readonly put: PolicyPut }
    | { readonly do: 'delete'; readonly name: string }
  )[];
  /** Resources that can't be put, and why. */
  readonly wrong: ReadonlyMap<string, string>;
}

/**
 * What must be told to the data plane, so that it has the policies of the
 * resources. It has a policy of ours without a resource: that one goes. What a
 * person put there under another name stays.
 */
export function planPolicies(
  resources: readonly StoragePolicyResource[],
  known: readonly StoragePolicyStatus__Output[],
): PolicyPlan {
  const wrong = new Map<string, string>();
  const asDefault: PolicyPut[] = [];
  const others: PolicyPut[] = [];
  // The older one becomes the default when two ask for it at once.
  for (const { metadata, spec } of [...resources].sort(byAge)) {
    try {
      const policy = storagePolicyOf(storagePolicySpec.parse(spec));
      const put = { name: metadata.name, policyJson: JSON.stringify(policy) };
      const there = known.find(({ name }) => name === metadata.name);
      if (there?.owner === policyOwner && isSame(there.policy_json, put.policyJson)) continue;
      if (policy.default) asDefault.push(put);
      else others.push(put);
    } catch (thrown) {
      wrong.set(metadata.name, toPxError(thrown).message);
    }
  }
  const names = new Set(resources.map(({ metadata }) => metadata.name));
  const gone = known.filter(({ name, owner }) => owner === policyOwner && !names.has(name));
  return {
    steps: [
      ...others.map((put) => ({ do: 'put', put }) as const),
      ...gone.map(({ name }) => ({ do: 'delete', name }) as const),
      ...asDefault.map((put) => ({ do: 'put', put }) as const),
    ],
    wrong,
  };
}

function byAge(one: StoragePolicyResource, other: StoragePolicyResource): number {
  const [a, b] = [one, other].map(
    ({ metadata }) => `${metadata.creationTimestamp ?? ''} ${metadata.name}`,
  ) as [string, string];
  return a < b ? -1 : 1;
}

/** The data plane may have the keys in another order; an absent rule and an undefined one are one. */
function isSame(a: string, b: string): boolean {
  return canonicalText(JSON.parse(a)) === canonicalText(JSON.parse(b));
}

/** JSON with the keys of objects in order. */
export function canonicalText(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) => {
    if (typeof part !== 'object' || part === null || Array.isArray(part)) return part;
    return Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
