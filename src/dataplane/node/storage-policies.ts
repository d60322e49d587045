import type { ListStoragePoliciesResponse } from '../../gen/px/v1/ListStoragePoliciesResponse.js';
import type { PutStoragePolicyRequest__Output } from '../../gen/px/v1/PutStoragePolicyRequest.js';
import type { DeleteStoragePolicyRequest__Output } from '../../gen/px/v1/DeleteStoragePolicyRequest.js';
import type { StoragePolicyStatus } from '../../gen/px/v1/StoragePolicyStatus.js';
import type { ClusterState } from '../cluster/cluster-view.js';
import { checkPolicyName, parsePolicy } from '../policy/parse-policy.js';
import type { ChangePlan } from '../policy/plan-changes.js';
import type { PolicyEntry } from '../policy/policy-entry.js';
import { governedBy, violationsOf } from '../policy/policy-status.js';
import type { NodeContext } from './context.js';
import { planPolicyChanges } from './policy-applier.js';

export async function putStoragePolicy(
  context: NodeContext,
  request: PutStoragePolicyRequest__Output,
): Promise<StoragePolicyStatus> {
  const name = checkPolicyName(request.name);
  const policy = parsePolicy(request.policy_json);
  const entry = await context.policies.put(name, policy, request.owner);
  context.logger.info('storage policy put', { name, default: policy.default });
  const state = await context.view.fresh();
  return viewPolicy(state, state.policies.get(name) ?? entry, plan(state));
}

export async function deleteStoragePolicy(
  context: NodeContext,
  request: DeleteStoragePolicyRequest__Output,
): Promise<void> {
  await context.policies.delete(checkPolicyName(request.name), request.owner, request.force);
}

export async function listStoragePolicies(
  context: NodeContext,
): Promise<ListStoragePoliciesResponse> {
  const state = await context.view.best();
  const planned = plan(state);
  const entries = [...state.policies.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  return { policies: entries.map((entry) => viewPolicy(state, entry, planned)) };
}

/** As the leader plans it, but for volumes that it lets rest: those count as waiting or at work. */
function plan(state: ClusterState): ChangePlan {
  return planPolicyChanges(state, new Set());
}

function viewPolicy(
  state: ClusterState,
  entry: PolicyEntry,
  planned: ChangePlan,
): StoragePolicyStatus {
  const governed = governedBy(state, entry.name);
  const among = (ids: ReadonlySet<string>) => governed.filter(({ id }) => ids.has(id)).length;
  return {
    name: entry.name,
    policy_json: JSON.stringify(entry.policy),
    is_default: entry.policy.default,
    governed: governed.length,
    violations: violationsOf(state, entry).map((violation) => ({
      volume_id: violation.volumeId,
      volume_name: violation.volumeName,
      rule: violation.rule,
      message: violation.message,
    })),
    changing: among(planned.changing),
    waiting: among(planned.waiting),
    owner: entry.owner,
  };
}
