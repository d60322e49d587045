import { resources } from '../../crds/resources.js';
import {
  isKvdbInternal,
  parseStorageClusterSpec,
  type StorageCluster,
  type StorageClusterSpec,
} from '../../crds/storage-cluster.js';
import { toPxError } from '../../kernel/errors.js';
import type { ReportedCondition } from '../condition-board.js';
import type { ReconcileResult } from '../ports.js';
import { buildPlan, eligibleNodes } from './build-plan.js';
import { desiredObjects } from './components/all.js';
import { pxApi } from './components/px-node.js';
import {
  chooseMembers,
  memberProblems,
  readMembers,
  replaceMember,
  wasReplaced,
  type KvdbMember,
} from './kvdb-members.js';
import { leaverJobs } from './leavers.js';
import { wipeRequests } from './forgotten-nodes.js';
import { kvdbMembersObject } from './components/kvdb-members.js';
import type { Secret } from './kubernetes-types.js';
import { parseMiscArgs } from './misc-args.js';
import { annotationKeys, driverName, names } from './names.js';
import {
  findLive,
  findOwned,
  readConfigMap,
  readCsiDriver,
  readKubernetesUid,
  servesSnapshots,
  type ServiceObject,
} from './observe.js';
import type { Observed } from './observed.js';
import type { Plan } from './plan.js';
import { preflight, unsupported } from './preflight.js';
import { superfluous } from './prune.js';
import { reportStatus } from './report-status.js';
import { limited, source } from './status.js';
import type { Tools } from './tools.js';

/** Secrets have no watch here: theirs is a right that the operator does without. */
const secretsAgainMs = 60_000;

export async function runCluster(tools: Tools, cluster: StorageCluster): Promise<ReconcileResult> {
  let spec: StorageClusterSpec;
  try {
    spec = specOf(cluster);
  } catch (thrown) {
    await refuse(tools, cluster, [toPxError(thrown).message]);
    return undefined;
  }
  const secrets = await readSecrets(tools, spec);
  const observed = await observe(tools, cluster, spec, secrets);
  const { blocking, warnings } = preflight({
    observed,
    csiDriver: await readCsiDriver(tools.context, driverName),
    namespaceLabels: await namespaceLabels(tools),
    secretsThere: (name) => secrets.get(name) !== undefined,
  });
  if (blocking.length > 0) {
    await refuse(tools, cluster, blocking);
    return { requeueAfterMs: secretsAgainMs };
  }
  const conditions = [preflightCondition(warnings), fieldsCondition(cluster)];
  const chosen = await chooseKvdb(tools, observed);
  if ('wait' in chosen) {
    await reportStatus(tools, {
      observed,
      plan: undefined,
      failures: [],
      conditions: [...conditions, kvdbCondition(chosen.wait)],
    });
    return { requeueAfterMs: chosen.againMs };
  }
  const complete = { ...observed, kvdbMembers: chosen.members, kvdbReplaced: chosen.replaced };
  const plan = await planWithAddress(tools, complete);
  if (plan === undefined) return undefined;
  const failures = await bringAbout(tools, plan, chosen);
  const { waiting } = observed.wipe;
  tools.events.say(
    cluster,
    'Warning',
    'WipeWaits',
    waiting.map((node) => `${node} is to be wiped, but px still has it: decommission it first`),
  );
  await reportStatus(tools, {
    observed: complete,
    plan,
    failures: failures.map(({ object, message }) => `${object}: ${message}`),
    conditions: [...conditions, ...kvdbState(complete)],
  });
  if (failures.length > 0 || waiting.length > 0) return { requeueAfterMs: 10_000 };
  return secrets.size > 0 ? { requeueAfterMs: secretsAgainMs } : undefined;
}

/** The spec with its defaults, and with what the misc-args annotation says in other words. */
export function specOf(cluster: StorageCluster): StorageClusterSpec {
  const spec = parseStorageClusterSpec(cluster.spec);
  const args = parseMiscArgs(cluster.metadata.annotations?.[annotationKeys.miscArgs]);
  return { ...spec, runtimeOptions: { ...args.runtimeOptions, ...spec.runtimeOptions } };
}

export async function observe(
  { context, caches }: Tools,
  cluster: StorageCluster,
  spec: StorageClusterSpec,
  secrets: ReadonlyMap<string, Secret | undefined>,
): Promise<Observed> {
  const { namespace } = context;
  const kvdb = isKvdbInternal(spec)
    ? await readConfigMap(context, { namespace, name: names.kvdb })
    : undefined;
  const service = findLive<ServiceObject>(caches, resources.service, {
    namespace,
    name: names.api,
  });
  return {
    cluster,
    spec,
    nodes: caches.nodes.all(),
    wipe: await wipeRequests(context, caches.nodes.all()),
    kubernetesUid: await readKubernetesUid(context),
    kvdbMembers: readMembers(kvdb?.data),
    kvdbReplaced: wasReplaced(kvdb?.data),
    kvdbSecret: secrets.get(spec.kvdb?.authSecret ?? ''),
    snapshotApi: servesSnapshots(caches),
    apiClusterIp: service?.spec?.clusterIP,
    defaultImage: context.image,
  };
}

export async function readSecrets(
  { context }: Tools,
  spec: StorageClusterSpec,
): Promise<ReadonlyMap<string, Secret | undefined>> {
  const wanted = [spec.imagePullSecret, isKvdbInternal(spec) ? undefined : spec.kvdb?.authSecret];
  const found = new Map<string, Secret | undefined>();
  for (const name of wanted) {
    if (name === undefined) continue;
    const { namespace } = context;
    found.set(name, await context.kube.get<Secret>(resources.secret, { namespace, name }));
  }
  return found;
}

async function namespaceLabels({ context }: Tools) {
  const found = await context.kube.get(resources.namespace, { name: context.namespace });
  return found?.metadata.labels ?? {};
}

async function refuse(tools: Tools, cluster: StorageCluster, reasons: readonly string[]) {
  const message = limited(reasons);
  tools.events.say(cluster, 'Warning', 'PreflightFailed', reasons);
  const hasRun = cluster.status?.phase === 'Running' || cluster.status?.phase === 'Degraded';
  await tools.status.write(cluster, {
    ...cluster.status,
    phase: hasRun ? 'Degraded' : 'Initializing',
    reason: message,
    conditions: [
      { source, type: 'Preflight', status: 'False', reason: 'Refused', message },
      fieldsCondition(cluster),
    ],
  });
}

function preflightCondition(warnings: readonly string[]): ReportedCondition {
  return warnings.length === 0
    ? { source, type: 'Preflight', status: 'True', reason: 'Passed', message: 'all checks passed' }
    : {
        source,
        type: 'Preflight',
        status: 'True',
        reason: 'Warnings',
        message: limited(warnings),
      };
}

function fieldsCondition(cluster: StorageCluster): ReportedCondition {
  const fields = unsupported(cluster);
  return {
    source,
    type: 'FieldsSupported',
    status: fields.length === 0 ? 'True' : 'False',
    reason: fields.length === 0 ? 'Supported' : 'Unsupported',
    message: fields.length === 0 ? 'every field is supported' : limited(fields, 50),
  };
}

function kvdbCondition(message: string): ReportedCondition {
  return { source, type: 'KvdbMembers', status: 'False', reason: 'Waiting', message };
}

function kvdbState({ spec, kvdbMembers, nodes }: Observed): readonly ReportedCondition[] {
  if (!isKvdbInternal(spec)) return [];
  const problems = memberProblems(kvdbMembers, nodes);
  const members = kvdbMembers.map(({ node }) => node).join(', ');
  if (problems.length > 0) {
    return [
      {
        source,
        type: 'KvdbMembers',
        status: 'False',
        reason: 'MemberMissing',
        message: limited(problems),
      },
    ];
  }
  const more =
    kvdbMembers.length === 1 ? '; with three nodes at the start it would survive one of them' : '';
  return [
    {
      source,
      type: 'KvdbMembers',
      status: 'True',
      reason: 'Chosen',
      message: `the key-value store is on ${members}${more}`,
    },
  ];
}

interface ChosenMembers {
  readonly members: readonly KvdbMember[];
  readonly replaced: boolean;
}

/**
 * The first choice is created, never replaced, so two passes can't differ; later
 * a member that is gone for good gets a successor.
 */
async function chooseKvdb(
  tools: Tools,
  observed: Observed,
): Promise<ChosenMembers | { wait: string; againMs: number }> {
  const { context } = tools;
  const { kvdbMembers: members, kvdbReplaced: replaced, nodes } = observed;
  if (!isKvdbInternal(observed.spec)) return { members, replaced };
  const eligible = eligibleNodes(observed);
  if (members.length > 0) {
    const replacement = replaceMember(members, nodes, eligible);
    if (replacement === undefined) return { members, replaced };
    tools.events.say(observed.cluster, 'Normal', 'KvdbMemberReplaced', [replacement.why]);
    return { members: replacement.members, replaced: true };
  }
  const sinceMs = Date.parse(observed.cluster.metadata.creationTimestamp ?? '');
  const waitedMs = Number.isNaN(sinceMs) ? 0 : context.clock.nowMs() - sinceMs;
  const choice = chooseMembers(eligible, waitedMs);
  if ('wait' in choice) return choice;
  const { name } = observed.cluster.metadata;
  await context.kube.create(
    resources.configMap,
    kvdbMembersObject(name, context.namespace, choice.members, false),
  );
  return { members: choice.members, replaced: false };
}

/** The CSI controller is told the Service's address, so the Service comes first. */
async function planWithAddress(tools: Tools, observed: Observed): Promise<Plan | undefined> {
  const plan = buildPlan(observed);
  if (plan === undefined || observed.apiClusterIp !== undefined) return plan;
  const service = await tools.context.kube.apply(resources.service, pxApi(plan));
  const apiClusterIp = (service as ServiceObject).spec?.clusterIP;
  return buildPlan({ ...observed, apiClusterIp });
}

async function bringAbout(tools: Tools, plan: Plan, { members, replaced }: ChosenMembers) {
  const { name, namespace } = plan.cluster;
  const wanted = [
    ...(members.length === 0 ? [] : [kvdbMembersObject(name, namespace, members, replaced)]),
    ...desiredObjects(plan),
  ];
  const { caches } = tools;
  const { kept, made } = leaverJobs(plan, {
    jobs: caches.jobs.all(),
    pods: caches.pods.all(),
    nodes: caches.nodes.all(),
  });
  const failures = await tools.applier.applyAll([...wanted, ...made]);
  const found = await findOwned(tools.context, tools.caches);
  for (const { resource, object } of superfluous(found, [...wanted, ...kept], name)) {
    const { uid } = object.metadata;
    tools.context.logger.info('removes what is no longer wanted', {
      kind: object.kind,
      name: object.metadata.name,
    });
    await tools.context.kube.delete(resource, object.metadata, {
      propagation: 'Background',
      ...(uid === undefined ? {} : { uid }),
    });
  }
  return failures;
}
