import type { ReportedCondition } from '../condition-board.js';
import type { KubeObject } from '../ports.js';
import { wipedNodeAnnotation, wipeJob } from './components/wiper.js';
import type { Job, Manifest, Pod } from './kubernetes-types.js';
import { annotationKeys, labelKeys, names } from './names.js';
import type { Plan } from './plan.js';
import type { Found } from './prune.js';
import { limited, source } from './status.js';

export type DeleteStrategy = 'Uninstall' | 'UninstallAndWipe' | undefined;

export interface DeletionInput {
  readonly strategy: DeleteStrategy;
  /** Undefined when nothing was ever set up: then there is nothing on any node. */
  readonly plan: Plan | undefined;
  readonly kvdbIsInternal: boolean;
  /** Volumes that are attached somewhere, as a person knows them. */
  readonly attached: readonly string[];
  /** Claims that are bound to volumes, as namespace/name. */
  readonly claims: readonly string[];
  /** Volumes that the driver is about to delete: it must stay until then. */
  readonly leaving: readonly string[];
  /** Every object that was made for the cluster and is still there. */
  readonly owned: readonly Found[];
  readonly pods: readonly Pod[];
  /** Why wipers do not come to their end. */
  readonly wiperProblems: readonly string[];
  /** Nodes that px ran on, with what Kubernetes says of them now. */
  readonly nodes: readonly DeletionNode[];
}

export interface DeletionNode {
  readonly name: string;
  readonly presence: 'ready' | 'silent' | 'gone';
  /** The person said that its state need not be removed. */
  readonly skipped: boolean;
}

/** The next step; each can be repeated, and after a crash the next pass finds the same one. */
export interface DeletionStep {
  readonly remove: readonly Found[];
  readonly make: readonly Manifest[];
  /** Nothing is left: the finalizer may go. */
  readonly done: boolean;
  readonly condition: ReportedCondition;
  readonly refused: boolean;
}

export function nextDeletionStep(input: DeletionInput): DeletionStep {
  const refusal = refusalOf(input);
  if (refusal !== undefined) return refusal;
  const wipes = input.strategy !== undefined && input.plan !== undefined;
  const first = input.owned.filter((found) => !wipes || !isNeededByWipers(found));
  if (first.length > 0) {
    return step('Removing', `removing ${limited(first.map(nameOf), 5)}`, { remove: first });
  }
  if (!wipes || input.plan === undefined) return finish(input);
  return wipe(input, input.plan);
}

/**
 * Volumes in use keep what their pods need. Without a strategy nothing on the
 * nodes is touched, so attached volumes go on and nothing is refused.
 */
function refusalOf(input: DeletionInput): DeletionStep | undefined {
  if (input.strategy === undefined || input.plan === undefined) return undefined;
  const reasons = [
    ...(input.attached.length > 0
      ? [`volumes are attached: ${limited(input.attached)}; delete the pods that use them`]
      : []),
    ...(input.leaving.length > 0 && input.owned.some(isDriver)
      ? [`volumes are being deleted: ${limited(input.leaving)}`]
      : []),
    ...(input.strategy === 'UninstallAndWipe' && input.claims.length > 0
      ? [
          `claims are bound to volumes that would be lost: ${limited(input.claims)}; ` +
            'delete the claims, or choose the strategy Uninstall',
        ]
      : []),
  ];
  if (reasons.length === 0) return undefined;
  return { ...step('Refused', reasons.join('; '), {}), refused: true };
}

/** The configuration says what to wipe, the account lets the wiper run. */
function isNeededByWipers({ object }: Found): boolean {
  const { kind, metadata } = object;
  return (
    isConfig(object) ||
    (kind === 'ConfigMap' && metadata.name === names.kvdb) ||
    (kind === 'ServiceAccount' && metadata.name === names.node) ||
    kind === 'Job'
  );
}

/** Once it is gone, nobody deletes volumes any more. */
function isDriver({ object: { kind, metadata } }: Found): boolean {
  return (
    kind === 'Deployment' &&
    metadata.name === names.csiController &&
    metadata.deletionTimestamp === undefined
  );
}

function isConfig({ kind, metadata }: KubeObject): boolean {
  return kind === 'ConfigMap' && metadata.name === names.config;
}

function wipe(input: DeletionInput, plan: Plan): DeletionStep {
  // It goes only when every node is clean, and before the Jobs that tell so.
  if (!input.owned.some(({ object }) => isConfig(object))) return finish(input);
  const targets = input.nodes.filter(({ presence, skipped }) => presence !== 'gone' && !skipped);
  const left = input.nodes.filter((node) => !targets.includes(node));
  const jobs = new Map(
    input.owned
      .filter(({ object }) => object.kind === 'Job')
      .map(({ object }) => [
        object.metadata.annotations?.[wipedNodeAnnotation] ?? '',
        object as Job,
      ]),
  );
  const wiped = targets.filter(({ name }) => (jobs.get(name)?.status?.succeeded ?? 0) > 0);
  const open = targets.filter((node) => !wiped.includes(node));
  const leftText =
    left.length === 0 ? '' : `; left as they are: ${limited(left.map(({ name }) => name))}`;
  if (open.length === 0) return finish(input, leftText);
  const devices = input.strategy === 'UninstallAndWipe';
  // The records go last: until then a wiper that starts again still finds its cluster.
  const withKeys = devices && !input.kvdbIsInternal;
  const make = open
    .filter(({ name }) => !jobs.has(name) && !hasStoragePod(input.pods, name))
    .filter(({ presence }) => presence === 'ready')
    .filter(() => !withKeys || open.length > 1)
    .slice(0, withKeys ? -1 : undefined)
    .map(({ name }) => wipeJob(plan, { node: name, devices, kvdbKeys: false }));
  const last = withKeys && open.length === 1 ? lastWiper(input, plan, open[0], jobs) : [];
  return step('Wiping', `${progress(input, wiped.length, targets.length, open, jobs)}${leftText}`, {
    make: [...make, ...last],
  });
}

function lastWiper(
  input: DeletionInput,
  plan: Plan,
  node: DeletionNode | undefined,
  jobs: ReadonlyMap<string, Job>,
): Manifest[] {
  if (node === undefined || node.presence !== 'ready' || jobs.has(node.name)) return [];
  if (hasStoragePod(input.pods, node.name)) return [];
  return [wipeJob(plan, { node: node.name, devices: true, kvdbKeys: true })];
}

export function hasStoragePod(pods: readonly Pod[], node: string): boolean {
  return pods.some(
    ({ metadata, spec }) =>
      spec?.nodeName === node &&
      ['node', 'csi-node'].includes(metadata.labels?.[labelKeys.component] ?? ''),
  );
}

function progress(
  input: DeletionInput,
  wiped: number,
  all: number,
  open: readonly DeletionNode[],
  jobs: ReadonlyMap<string, Job>,
): string {
  const silent = open.filter(({ presence }) => presence === 'silent').map(({ name }) => name);
  const ending = open.filter(({ name }) => hasStoragePod(input.pods, name)).map(({ name }) => name);
  const running = open.filter(({ name }) => jobs.has(name)).map(({ name }) => name);
  return [
    `${wiped} of ${all} nodes are clean`,
    ...(running.length > 0 ? [`at work on ${limited(running)}`] : []),
    ...input.wiperProblems,
    ...(ending.length > 0 ? [`waiting for the storage pods on ${limited(ending)} to end`] : []),
    ...(silent.length > 0
      ? [
          `not ready: ${limited(silent)} (to leave their state, name them in the annotation ` +
            `${annotationKeys.skipWipe}, by comma)`,
        ]
      : []),
  ].join('; ');
}

function finish(input: DeletionInput, text = ''): DeletionStep {
  const others = input.owned.filter(({ object }) => object.kind !== 'Job');
  const remove = others.length > 0 ? others : input.owned;
  if (remove.length > 0) {
    return step('Removing', `removing what the wipers needed${text}`, { remove });
  }
  return { ...step('Done', `everything is removed${text}`, {}), done: true };
}

function step(
  reason: string,
  message: string,
  what: { readonly remove?: readonly Found[]; readonly make?: readonly Manifest[] },
): DeletionStep {
  return {
    remove: what.remove ?? [],
    make: what.make ?? [],
    done: false,
    refused: false,
    condition: {
      source,
      type: 'Deletion',
      status: reason === 'Done' ? 'True' : 'False',
      reason,
      message,
    },
  };
}

function nameOf({ object: { kind, metadata } }: Found): string {
  return `${kind} ${metadata.name}`;
}
