import { resources } from '../../crds/resources.js';
import type { StorageCluster } from '../../crds/storage-cluster.js';
import type { StoragePolicyResource, StoragePolicyStatus } from '../../crds/storage-policy.js';
import type { StoragePolicyStatus__Output } from '../../gen/px/v1/StoragePolicyStatus.js';
import { toPxError } from '../../kernel/errors.js';
import { activeCluster } from '../active-cluster.js';
import type {
  Controller,
  KubeCache,
  OperatorContext,
  PxNode,
  ReconcileResult,
  SetUpController,
} from '../ports.js';
import { planPolicies, policyOwner, type PolicyPlan } from './plan-policies.js';
import { desiredStatus, isWorthWriting } from './policy-status.js';

const key = 'policies';
/** Volumes come and go without an event: what a status counts is brought up to date this often. */
const relaxedMs = 30_000;
/** While volumes are changed. */
const busyMs = 5_000;
const callTimeoutMs = 10_000;

/** Keeps the data plane's storage policies those of the StoragePolicy resources. */
export const setUpStoragePolicies: SetUpController = (context, enqueue) => {
  const clusters = context.cache<StorageCluster>(resources.storageCluster);
  const policies = context.cache<StoragePolicyResource>(resources.storagePolicy);
  const generations = new Map<string, string>();
  policies.onChange(({ metadata }, change) => {
    // Our own writes of the status must not wake us.
    const print = `${change} ${metadata.uid ?? ''} ${metadata.generation ?? ''}`;
    if (generations.get(metadata.name) === print) return;
    generations.set(metadata.name, print);
    enqueue(key);
  });
  clusters.onChange(() => enqueue(key));
  return new StoragePolicyController(context, clusters, policies);
};

class StoragePolicyController implements Controller {
  readonly name = 'storage-policy';
  readonly #context: OperatorContext;
  readonly #clusters: KubeCache<StorageCluster>;
  readonly #policies: KubeCache<StoragePolicyResource>;

  constructor(
    context: OperatorContext,
    clusters: KubeCache<StorageCluster>,
    policies: KubeCache<StoragePolicyResource>,
  ) {
    this.#context = context;
    this.#clusters = clusters;
    this.#policies = policies;
  }

  async reconcile(): Promise<ReconcileResult> {
    const cluster = activeCluster(this.#clusters);
    // With the cluster its policies go: nothing is put into one that is being taken down.
    if (cluster === undefined || cluster.metadata.deletionTimestamp !== undefined) return undefined;
    const wanted = this.#policies
      .all()
      .filter(({ metadata }) => metadata.deletionTimestamp === undefined);
    if (cluster.status?.phase === 'Initializing' && wanted.length === 0) {
      return { requeueAfterMs: relaxedMs };
    }
    const px = await this.#context.px.any();
    const plan = planPolicies(wanted, await list(px));
    const problems = await this.#carryOut(px, plan);
    const known = await list(px);
    for (const resource of wanted) await this.#report(resource, known, problems);
    const busy = known.some(({ changing, waiting }) => changing + waiting > 0);
    return { requeueAfterMs: busy || problems.size > 0 ? busyMs : relaxedMs };
  }

  /** Why some resources are not what the data plane has, by name. */
  async #carryOut(px: PxNode, plan: PolicyPlan): Promise<Map<string, string>> {
    const problems = new Map(plan.wrong);
    const { logger } = this.#context;
    for (const step of plan.steps) {
      const name = step.do === 'put' ? step.put.name : step.name;
      try {
        if (step.do === 'put') {
          const request = { name, policy_json: step.put.policyJson, owner: policyOwner };
          await px.PutStoragePolicy(request, { timeoutMs: callTimeoutMs });
        } else {
          const request = { name, owner: policyOwner };
          await px.DeleteStoragePolicy(request, { timeoutMs: callTimeoutMs });
        }
        logger.info('a storage policy was brought to px', { policy: name, step: step.do });
      } catch (thrown) {
        const { code, message } = toPxError(thrown);
        // What is not the policy's fault is tried again as a whole.
        if (code !== 'invalid_argument' && code !== 'failed_precondition') throw thrown;
        problems.set(name, message);
      }
    }
    return problems;
  }

  async #report(
    resource: StoragePolicyResource,
    known: readonly StoragePolicyStatus__Output[],
    problems: ReadonlyMap<string, string>,
  ): Promise<void> {
    const { kube, clock, events } = this.#context;
    const { name } = resource.metadata;
    const problem = problems.get(name);
    const status = desiredStatus({
      resource,
      px: known.find((policy) => policy.name === name && policy.owner === policyOwner),
      problem,
      timestamp: clock.timestamp(),
    });
    if (!isWorthWriting(resource.status, status)) return;
    const { apiVersion, kind } = resource;
    type WithStatus = Pick<StoragePolicyResource, 'apiVersion' | 'kind' | 'metadata'> & {
      readonly status: StoragePolicyStatus;
    };
    const object: WithStatus = { apiVersion, kind, metadata: { name }, status };
    await kube.applyStatus(resources.storagePolicy, object);
    if (problem !== undefined && messageOf(resource) !== problem) {
      events.note(resource, { type: 'Warning', reason: 'PolicyRefused', message: problem });
    }
  }
}

async function list(px: PxNode): Promise<readonly StoragePolicyStatus__Output[]> {
  return (await px.ListStoragePolicies({}, { timeoutMs: callTimeoutMs })).policies;
}

function messageOf({ status }: StoragePolicyResource): string | undefined {
  return status?.conditions?.find(({ type }) => type === 'Applied')?.message;
}
