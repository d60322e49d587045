import type { Condition } from '../../crds/condition.js';
import type { StorageClusterStatus } from '../../crds/storage-cluster.js';
import type { ReportedCondition } from '../condition-board.js';
import type { DaemonSet, Deployment } from './kubernetes-types.js';
import { versionOf } from './images.js';
import { names } from './names.js';
import type { Plan } from './plan.js';

/** How a component's objects are, as far as Kubernetes tells. */
export interface ComponentState {
  readonly name: string;
  readonly wanted: number;
  readonly ready: number;
  readonly message: string | undefined;
}

export function daemonSetState(name: string, object: DaemonSet | undefined): ComponentState {
  const status = object?.status;
  const wanted = status?.desiredNumberScheduled ?? 0;
  const seen = (status?.observedGeneration ?? 0) >= (object?.metadata.generation ?? 1);
  return {
    name,
    wanted,
    ready: seen ? (status?.numberReady ?? 0) : 0,
    message: seen ? undefined : 'waiting for Kubernetes to look at it',
  };
}

export function deploymentState(name: string, object: Deployment | undefined): ComponentState {
  const failure = object?.status?.conditions?.find(
    ({ type, status }) => type === 'ReplicaFailure' && status === 'True',
  );
  return {
    name,
    wanted: object?.spec?.replicas ?? 1,
    ready: object?.status?.readyReplicas ?? 0,
    message: failure?.message,
  };
}

export function isReady({ wanted, ready, message }: ComponentState): boolean {
  return ready >= wanted && message === undefined;
}

/** A Deployment serves with one of its pods: the others wait for its death. */
export function isServing(state: ComponentState): boolean {
  return state.name === names.node || state.name === names.csiNode
    ? isReady(state)
    : state.ready > 0 || state.wanted === 0;
}

export function componentsCondition(
  states: readonly ComponentState[],
  problems: readonly string[],
): ReportedCondition {
  const lacking = states.filter((state) => !isReady(state));
  if (lacking.length === 0 && problems.length === 0) {
    return {
      source,
      type: 'ComponentsReady',
      status: 'True',
      reason: 'Ready',
      message: states.map(({ name, ready }) => `${name} ${ready}`).join(', '),
    };
  }
  const texts = lacking.map(
    ({ name, ready, wanted, message }) =>
      `${name}: ${ready} of ${wanted} ready${message === undefined ? '' : ` (${message})`}`,
  );
  return {
    source,
    type: 'ComponentsReady',
    status: 'False',
    reason: 'NotReady',
    message: limited([...texts, ...problems]),
  };
}

export const source = 'storage-cluster';

/** A message that a person reads stays short, whatever the number of nodes. */
export function limited(texts: readonly string[], most = 10): string {
  const shown = texts.slice(0, most);
  const more = texts.length - shown.length;
  return [...shown, ...(more > 0 ? [`and ${more} more`] : [])].join('; ');
}

export type Phase = NonNullable<StorageClusterStatus['phase']>;

export interface PhaseInput {
  readonly before: Phase | undefined;
  readonly states: readonly ComponentState[];
  readonly blocking: readonly string[];
  readonly problems: readonly string[];
  /** Nodes of the data plane that are not well, each with its reason. */
  readonly unwellNodes: readonly string[];
}

/** Degraded says that it has run before: a person looks at that sooner than at a start. */
export function phaseOf(input: PhaseInput): { readonly phase: Phase; readonly reason: string } {
  const lacking = input.states.filter((state) => !isServing(state));
  const reasons = [
    ...input.blocking,
    ...lacking.map(({ name, ready, wanted }) => `${name}: ${ready} of ${wanted} ready`),
    ...input.unwellNodes,
    ...input.problems,
  ];
  const hasRun = input.before === 'Running' || input.before === 'Degraded';
  const node = input.states.find(({ name }) => name === names.node);
  const nodesReady = node !== undefined && node.wanted > 0 && node.ready > 0;
  if (reasons.length === 0 && nodesReady) return { phase: 'Running', reason: '' };
  return { phase: hasRun ? 'Degraded' : 'Initializing', reason: limited(reasons, 5) };
}

/**
 * The time of a condition is when its status last changed, so a new message
 * alone moves nothing.
 */
export function withTimes(
  before: readonly Condition[],
  now: readonly ReportedCondition[],
  timestamp: string,
): Condition[] {
  return [...now]
    .sort((a, b) => (a.type < b.type ? -1 : 1))
    .map((condition) => {
      const old = before.find(({ type }) => type === condition.type);
      const since = old?.status === condition.status ? old.lastTransitionTime : undefined;
      return { ...condition, lastTransitionTime: since ?? timestamp };
    });
}

export function desiredImages(plan: Plan): NonNullable<StorageClusterStatus['desiredImages']> {
  const { images, csi, api } = plan;
  return {
    px: images.px,
    ...(csi.enabled
      ? {
          csiProvisioner: images.provisioner,
          csiAttacher: images.attacher,
          csiResizer: images.resizer,
          ...(api.snapshots ? { csiSnapshotter: images.snapshotter } : {}),
          ...(api.snapshots && csi.snapshotController
            ? { csiSnapshotController: images.snapshotController }
            : {}),
        }
      : {}),
  };
}

/**
 * The version that every storage pod runs, and that of before while a roll-out
 * is under way: who reads the new one knows that all nodes have it.
 */
export function versionOfPods(
  images: readonly string[],
  wantedPods: number,
  before: string | undefined,
): string | undefined {
  const versions = new Set(images.map(versionOf));
  const [version] = versions;
  return versions.size === 1 && images.length >= wantedPods ? version : before;
}

/** A path that is wrong makes every node storageless, of which none is to blame by itself. */
export function withoutAnyStorage(
  devices: readonly string[],
  nodes: readonly { readonly online: boolean; readonly storage: boolean }[],
): string[] {
  const nowhere = nodes.length > 0 && nodes.every(({ online, storage }) => online && !storage);
  if (devices.length === 0 || !nowhere) return [];
  return [
    `no node stores anything: none of spec.storage.devices is there (${limited(devices, 5)})`,
  ];
}

/** Nodes with storage in the zone that has the fewest, as users of the field know it. */
export function storageNodesPerZone(
  nodes: readonly { readonly zone: string; readonly pools: readonly unknown[] }[],
): number {
  const zones = new Map<string, number>();
  for (const { zone, pools } of nodes) {
    zones.set(zone, (zones.get(zone) ?? 0) + (pools.length > 0 ? 1 : 0));
  }
  return zones.size === 0 ? 0 : Math.min(...zones.values());
}
