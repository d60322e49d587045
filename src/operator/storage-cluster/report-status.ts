import { resources } from '../../crds/resources.js';
import type { StorageNode } from '../../crds/storage-node.js';
import type { ReportedCondition } from '../condition-board.js';
import type { KubeObject } from '../ports.js';
import { names, podLabels } from './names.js';
import { daemonSetOf, deploymentOf } from './observe.js';
import type { Observed } from './observed.js';
import type { Plan } from './plan.js';
import { describeProblem, podProblems } from './pod-problems.js';
import {
  componentsCondition,
  daemonSetState,
  deploymentState,
  desiredImages,
  limited,
  phaseOf,
  source,
  storageNodesPerZone,
  versionOfPods,
  withoutAnyStorage,
  type ComponentState,
} from './status.js';
import type { Tools } from './tools.js';
import { matchesLabels } from './node-selection.js';

export interface Report {
  readonly observed: Observed;
  /** Undefined while it can't be made yet. */
  readonly plan: Plan | undefined;
  /** What the API server refused. */
  readonly failures: readonly string[];
  readonly conditions: readonly ReportedCondition[];
}

export async function reportStatus(tools: Tools, report: Report): Promise<void> {
  const { observed, plan, failures } = report;
  const { cluster } = observed;
  const states = plan === undefined ? [] : componentStates(tools, plan);
  const problems = [
    ...podProblems(ownPods(tools)).map(describeProblem),
    ...(await creationProblems(tools, states)),
  ];
  const storageNodes = tools.caches.storageNodes.all();
  const unwellNodes = [
    ...storageNodes.flatMap(unwell),
    ...withoutAnyStorage(observed.spec.storage?.devices ?? [], storageNodes.map(storageOf)),
  ];
  const version = runningVersion(tools, states, cluster.status?.version);
  const waiting = plan === undefined ? ['the key-value store has no members yet'] : [];
  const { phase, reason } = phaseOf({
    before: cluster.status?.phase,
    states,
    blocking: [...waiting, ...failures],
    problems,
    unwellNodes,
  });
  tools.events.say(cluster, 'Warning', 'ComponentFailing', problems);
  tools.events.say(cluster, 'Warning', 'ApplyFailed', failures);
  tools.events.say(cluster, 'Warning', 'Degraded', phase === 'Degraded' ? [reason] : []);
  tools.events.say(
    cluster,
    'Normal',
    'Running',
    phase === 'Running' ? [`${cluster.metadata.name} runs on every node`] : [],
  );
  await tools.status.write(cluster, {
    ...(plan === undefined
      ? {}
      : {
          clusterName: plan.clusterId,
          clusterUid: plan.clusterId,
          ...(version === undefined ? {} : { version }),
          desiredImages: desiredImages(plan),
        }),
    phase,
    ...(reason === '' ? {} : { reason }),
    storage: { storageNodesPerZone: perZone(storageNodes) },
    conditions: [
      ...report.conditions,
      ...(plan === undefined ? [] : [componentsCondition(states, problems)]),
      appliedCondition(failures),
      ...snapshotCondition(observed),
    ],
  });
}

function componentStates({ caches }: Tools, plan: Plan): readonly ComponentState[] {
  const at = (name: string) => ({ namespace: plan.cluster.namespace, name });
  const daemonSet = (name: string) => daemonSetState(name, daemonSetOf(caches, at(name)));
  const deployment = (name: string) => deploymentState(name, deploymentOf(caches, at(name)));
  return [
    daemonSet(names.node),
    ...(plan.csi.enabled ? [daemonSet(names.csiNode), deployment(names.csiController)] : []),
    ...(plan.csi.enabled && plan.csi.snapshotController && plan.api.snapshots
      ? [deployment(names.snapshotController)]
      : []),
  ];
}

function ownPods({ caches }: Tools) {
  const components = ['node', 'csi-node', 'csi-controller', 'snapshot-controller', 'wipe'] as const;
  return caches.pods
    .all()
    .filter(({ metadata }) =>
      components.some((one) =>
        matchesLabels({ matchLabels: podLabels(one) }, metadata.labels ?? {}),
      ),
    );
}

interface KubeEvent extends KubeObject {
  readonly note?: string;
}

/**
 * A DaemonSet whose pods are refused (by Pod Security, by a quota) says so in
 * Events alone; they are asked for only while pods are lacking.
 */
async function creationProblems(
  { context, caches }: Tools,
  states: readonly ComponentState[],
): Promise<readonly string[]> {
  const found: string[] = [];
  for (const { name, wanted } of states) {
    if (name !== names.node && name !== names.csiNode) continue;
    const component = name === names.node ? 'node' : 'csi-node';
    const pods = caches.pods
      .all()
      .filter(({ metadata }) =>
        matchesLabels({ matchLabels: podLabels(component) }, metadata.labels ?? {}),
      );
    if (pods.length >= wanted) continue;
    const events = await context.kube.list<KubeEvent>(resources.event, {
      namespace: context.namespace,
      fieldSelector: `regarding.kind=DaemonSet,regarding.name=${name},reason=FailedCreate`,
    });
    const note = events.at(-1)?.note;
    if (note !== undefined) found.push(`${name}: ${note}`);
  }
  return found;
}

const unwellPhases = ['Degraded', 'Offline', 'Failed', 'NotInQuorum'];

function unwell({ metadata, status }: StorageNode): string[] {
  if (status?.phase === undefined || !unwellPhases.includes(status.phase)) return [];
  const why = status.reason === undefined || status.reason === '' ? '' : ` (${status.reason})`;
  return [`node ${metadata.name} is ${status.phase}${why}`];
}

function storageOf({ status }: StorageNode) {
  return { online: status?.phase === 'Online', storage: status?.nodeAttributes?.storage === true };
}

function runningVersion(
  { caches }: Tools,
  states: readonly ComponentState[],
  before: string | undefined,
): string | undefined {
  const images = caches.pods
    .all()
    .filter(({ metadata }) =>
      matchesLabels({ matchLabels: podLabels('node') }, metadata.labels ?? {}),
    )
    .map(({ spec }) => spec?.containers?.find(({ name }) => name === names.node)?.image ?? '');
  const wanted = states.find(({ name }) => name === names.node)?.wanted ?? 0;
  return versionOfPods(images, wanted, before);
}

function perZone(nodes: readonly StorageNode[]): number {
  return storageNodesPerZone(
    nodes.map(({ status }) => ({
      zone: status?.geography?.zone ?? 'default',
      pools: status?.nodeAttributes?.storage === true ? [{}] : (status?.pools ?? []),
    })),
  );
}

function appliedCondition(failures: readonly string[]): ReportedCondition {
  return failures.length === 0
    ? {
        source,
        type: 'Applied',
        status: 'True',
        reason: 'Applied',
        message: 'all objects are there',
      }
    : { source, type: 'Applied', status: 'False', reason: 'Failed', message: limited(failures) };
}

/** The definitions are not ours to install: another driver may need another version. */
function snapshotCondition({ spec, snapshotApi }: Observed): readonly ReportedCondition[] {
  if (!spec.csi.enabled) return [];
  const common = { source, type: 'SnapshotsAvailable' };
  if (snapshotApi) {
    return [{ ...common, status: 'True', reason: 'Available', message: 'VolumeSnapshots work' }];
  }
  return [
    {
      ...common,
      status: 'False',
      reason: 'DefinitionsMissing',
      message:
        'the API server has no snapshot.storage.k8s.io/v1: install the CustomResourceDefinitions ' +
        'of the project kubernetes-csi/external-snapshotter (client/config/crd); ' +
        (spec.csi.installSnapshotController
          ? 'the snapshot controller is started as soon as they are there'
          : 'the snapshot controller is needed, too (spec.csi.installSnapshotController)'),
    },
  ];
}
