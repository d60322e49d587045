import { createHash } from 'node:crypto';
import { toPxError } from '../../kernel/errors.js';
import type { KubeApi, KubeObject, ObjectName, Resource } from '../ports.js';
import type { Manifest } from './kubernetes-types.js';
import { isMadeOnce, resourceOf } from './owned-kinds.js';

/** What the watches know: undefined when it is not there. */
export type Live = (resource: Resource, name: ObjectName) => KubeObject | undefined;

export interface ApplyFailure {
  readonly object: string;
  readonly message: string;
}

/**
 * Brings objects to what they should be. An object is sent again only when
 * what we want, or what the watch shows, differs from the last time: a pass in
 * which nothing has changed asks the API server for nothing.
 */
export class Applier {
  private readonly done = new Map<string, { readonly wanted: string; readonly live: string }>();

  constructor(
    private readonly kube: KubeApi,
    private readonly live: Live,
  ) {}

  /** Goes on after a failure: one bad object must not keep the others from being right. */
  async applyAll(objects: readonly Manifest[]): Promise<readonly ApplyFailure[]> {
    const failures: ApplyFailure[] = [];
    for (const object of objects) {
      try {
        await this.apply(object);
      } catch (thrown) {
        failures.push({ object: describe(object), message: toPxError(thrown).message });
      }
    }
    return failures;
  }

  async apply(object: Manifest): Promise<void> {
    const resource = resourceOf(object);
    const live = this.live(resource, object.metadata);
    if (isMadeOnce(object.kind)) return this.makeOnce(resource, object, live);
    const key = describe(object);
    const wanted = digest(object);
    const before = this.done.get(key);
    if (live !== undefined && before?.wanted === wanted && before.live === fingerprint(live))
      return;
    const applied = await this.send(resource, object);
    this.done.set(key, { wanted, live: fingerprint(applied) });
  }

  /**
   * Of a CSIDriver some fields can't be changed. Nothing depends on the object
   * for the moment that it is away: volumes are mounted by what the kubelet has.
   */
  private async send(resource: Resource, object: Manifest): Promise<KubeObject> {
    try {
      return await this.kube.apply<KubeObject>(resource, object);
    } catch (thrown) {
      if (object.kind !== 'CSIDriver' || toPxError(thrown).code !== 'invalid_argument')
        throw thrown;
      await this.kube.delete(resource, object.metadata);
      return this.kube.apply<KubeObject>(resource, object);
    }
  }

  private async makeOnce(
    resource: Resource,
    object: Manifest,
    live: KubeObject | undefined,
  ): Promise<void> {
    if (live !== undefined) return;
    // The watch may be behind, and this kind may have none.
    if ((await this.kube.get(resource, object.metadata)) !== undefined) return;
    await this.kube.apply(resource, object);
  }
}

export function describe({ kind, metadata }: KubeObject): string {
  return metadata.namespace === undefined
    ? `${kind} ${metadata.name}`
    : `${kind} ${metadata.namespace}/${metadata.name}`;
}

/** All of an object that a person or a program might have turned: not its status, nor bookkeeping. */
function fingerprint(object: KubeObject): string {
  const { metadata, ...rest } = object;
  const { labels, annotations, ownerReferences } = metadata;
  return digest({ ...rest, status: undefined, metadata: { labels, annotations, ownerReferences } });
}

function digest(value: unknown): string {
  return createHash('sha256')
    .update(JSON.stringify(sorted(value)))
    .digest('base64');
}

/** Two answers of the API server may differ in the order of their keys. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, one]) => [key, sorted(one)]));
}
