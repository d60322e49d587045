/**
 * What the operator's logic needs of the world. `kube/` and `px/` implement
 * these; tests use small in-memory ones. Nothing here knows a client library.
 */
import type { KubeObject, Resource } from '../crds/kube-object.js';
import type { NodeDefinition } from '../gen/px/v1/Node.js';
import type { UnaryClient } from '../platform/grpc-client.js';
import type { Logger } from '../platform/logger.js';

export type { KubeObject, Resource };

export interface ObjectName {
  readonly namespace?: string;
  readonly name: string;
}

export interface ListOptions {
  /** All namespaces when absent. */
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

export interface DeleteOptions {
  /** Deletes only the object with this uid: a new one of the same name stays. */
  readonly uid?: string;
  readonly gracePeriodSeconds?: number;
  readonly propagation?: 'Background' | 'Foreground' | 'Orphan';
}

/**
 * The API server. Absence is `undefined`, never an error; what fails throws a
 * PxError: `not_found`, `already_exists` (409 on create), `aborted` (409
 * conflict), `invalid_argument` (422, 400), `permission_denied` (401, 403),
 * `unavailable` (no answer, 429, 5xx). Every call has a time bound.
 */
export interface KubeApi {
  get<T extends KubeObject>(resource: Resource, name: ObjectName): Promise<T | undefined>;
  list<T extends KubeObject>(resource: Resource, options?: ListOptions): Promise<readonly T[]>;
  create<T extends KubeObject>(resource: Resource, object: T): Promise<T>;
  /** Server-side apply under our field manager, forced: drift is corrected. */
  apply<T extends KubeObject>(resource: Resource, object: T): Promise<T>;
  /** Server-side apply of the status subresource. */
  applyStatus<T extends KubeObject>(resource: Resource, object: T): Promise<T>;
  /** JSON merge patch; `resourceVersion` inside `patch.metadata` makes it conditional. */
  patch<T extends KubeObject>(resource: Resource, name: ObjectName, patch: object): Promise<T>;
  /** True when there was something to delete. */
  delete(resource: Resource, name: ObjectName, options?: DeleteOptions): Promise<boolean>;
}

/** A view of one kind that follows a watch; reading it costs nothing. */
export interface KubeCache<T extends KubeObject> {
  /** Resolves when the first list is in. */
  synced(): Promise<void>;
  all(): readonly T[];
  get(name: ObjectName): T | undefined;
  onChange(listener: (object: T, change: 'set' | 'gone') => void): void;
}

export interface EventNote {
  readonly type: 'Normal' | 'Warning';
  /** UpperCamelCase, for machines. */
  readonly reason: string;
  readonly message: string;
}

/** Kubernetes Events (events.k8s.io/v1); repeats of the same note are counted, not multiplied. */
export interface EventRecorder {
  note(about: KubeObject, note: EventNote): void;
}

/** Time as the logic sees it, so that tests can move it. */
export interface Clock {
  nowMs(): number;
  /** RFC 3339, seconds. */
  timestamp(): string;
}

/** What one pass over a key answers. */
export type ReconcileResult = { readonly requeueAfterMs?: number } | undefined;

/** One key at a time; a throw is retried with backoff a key. */
export interface Controller {
  readonly name: string;
  reconcile(key: string): Promise<ReconcileResult>;
}

/** The API of a px-node: every call of `px.v1.Node`, as promises that fail with PxErrors. */
export type PxNode = UnaryClient<NodeDefinition>;

/** The data plane of the one StorageCluster. */
export interface PxCluster {
  /** A node that answers; throws `unavailable` when there is none. */
  any(): Promise<PxNode>;
  /** That node itself, by the name of its Kubernetes node; undefined when no pod of px runs there. */
  node(name: string): Promise<PxNode | undefined>;
}

/**
 * What a controller is made of. A `SetUpController` takes it, asks for the caches
 * that it reads, and says with `onChange` which keys a change wakes:
 *
 *     export const setUpRollout: SetUpController = (context, enqueue) => {
 *       const pods = context.cache<Pod>(resources.pod, { namespace: context.namespace });
 *       pods.onChange(() => enqueue('cluster'));
 *       return { name: 'rollout', reconcile: (key) => … };
 *     };
 *
 * Caches are shared: the same resource and options are one watch. They are
 * synced before the first reconcile, and each object that is there then has
 * been reported by `onChange` as `set`, so every key is reconciled once at start.
 */
export interface OperatorContext {
  readonly kube: KubeApi;
  readonly px: PxCluster;
  readonly events: EventRecorder;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Where the operator itself runs. */
  readonly namespace: string;
  /** The image of the operator's own container: what a StorageCluster without `image` runs. */
  readonly image: string;
  /** The version of this operator. */
  readonly version: string;
  /** What a controller tells to those who collect metrics. */
  readonly gauges: OperatorGauges;
  cache<T extends KubeObject>(resource: Resource, options?: ListOptions): KubeCache<T>;
}

export interface OperatorGauges {
  /** How many volumes are well, degraded, full, down. */
  volumes(counts: Readonly<Record<string, number>>): void;
}

/** Asks for a pass over the key: now, or after a while. Asking twice before it runs is once. */
export type Enqueue = (key: string, delayMs?: number) => void;

export type SetUpController = (context: OperatorContext, enqueue: Enqueue) => Controller;
