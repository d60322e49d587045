/**
 * What the operator's logic needs of the world. `kube/` and `px/` implement
 * these; tests use small in-memory ones. Nothing here knows a client library.
 */

/** A Kubernetes object as JSON; the API server's own fields are optional. */
export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta;
}

export interface ObjectMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly generation?: number;
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly finalizers?: readonly string[];
  readonly ownerReferences?: readonly OwnerReference[];
}

export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
  readonly blockOwnerDeletion?: boolean;
}

/** Which objects: `namespaced` decides the form of the path. */
export interface Resource {
  readonly apiVersion: string;
  readonly kind: string;
  readonly plural: string;
  readonly namespaced: boolean;
}

export interface ObjectName {
  readonly namespace?: string;
  readonly name: string;
}

export interface ListOptions {
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
  /** Through the eviction API, so that disruption budgets hold. False: refused for now. */
  evict(pod: ObjectName): Promise<boolean>;
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
