import { PxError, toPxError } from '../../kernel/errors.js';
import { delay } from '../../platform/monotonic.js';
import type {
  DeleteOptions,
  KubeApi,
  KubeObject,
  ListOptions,
  ObjectName,
  Resource,
} from '../ports.js';
import { isGone, kubeError } from './kube-errors.js';
import type { HttpAnswer, HttpCall, KubeHttp } from './kube-http.js';
import { collectionPath, describeObject, objectPath } from './kube-path.js';

export const fieldManager = 'px-operator';

const callTimeoutMs = 15_000;
const listTimeoutMs = 60_000;
const pageSize = 500;
const tries = 3;
const firstRetryMs = 250;
const longestRetryMs = 5_000;

interface Page {
  readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string };
  readonly items?: readonly Partial<KubeObject>[];
}

export interface Listed<T> {
  readonly items: readonly T[];
  /** From where a watch goes on. */
  readonly resourceVersion: string;
}

/** The API server over HTTP. What may be done twice is tried again; a create is not. */
export class HttpKubeApi implements KubeApi {
  constructor(private readonly http: KubeHttp) {}

  async get<T extends KubeObject>(resource: Resource, name: ObjectName): Promise<T | undefined> {
    const call = { method: 'GET', path: objectPath(resource, name) } as const;
    const answer = await this.repeat({ ...call, timeoutMs: callTimeoutMs });
    if (answer.status === 404) return undefined;
    return objectOf<T>(answer, `get ${describeObject(resource, name)}`);
  }

  async list<T extends KubeObject>(
    resource: Resource,
    options: ListOptions = {},
  ): Promise<readonly T[]> {
    return (await this.listAll<T>(resource, options)).items;
  }

  /** In pages; when the server has forgotten the next one, everything at once. */
  async listAll<T extends KubeObject>(
    resource: Resource,
    options: ListOptions,
  ): Promise<Listed<T>> {
    try {
      return await this.listPages<T>(resource, options, pageSize);
    } catch (thrown) {
      if (!isGone(toPxError(thrown))) throw thrown;
      return this.listPages<T>(resource, options, undefined);
    }
  }

  private async listPages<T extends KubeObject>(
    resource: Resource,
    { namespace, labelSelector, fieldSelector }: ListOptions,
    limit: number | undefined,
  ): Promise<Listed<T>> {
    const path = collectionPath(resource, namespace);
    const items: T[] = [];
    let next: string | undefined;
    for (;;) {
      const query = { labelSelector, fieldSelector, limit, continue: next };
      const answer = await this.repeat({ method: 'GET', path, query, timeoutMs: listTimeoutMs });
      if (answer.status !== 200) throw kubeError(answer, `list ${resource.plural}`);
      const page = answer.json as Page;
      const { apiVersion, kind } = resource;
      // The items of a list don't say what they are.
      for (const item of page.items ?? []) items.push({ ...item, apiVersion, kind } as T);
      next = page.metadata?.continue;
      if (next === undefined || next === '') {
        return { items, resourceVersion: page.metadata?.resourceVersion ?? '' };
      }
    }
  }

  async create<T extends KubeObject>(resource: Resource, object: T): Promise<T> {
    const path = collectionPath(resource, object.metadata.namespace);
    const query = { fieldManager };
    const answer = await this.http.call({
      ...{ method: 'POST', path, query, body: object, timeoutMs: callTimeoutMs },
    });
    return objectOf<T>(answer, `create ${describeObject(resource, object.metadata)}`);
  }

  apply<T extends KubeObject>(resource: Resource, object: T): Promise<T> {
    return this.serverSideApply(resource, object, '');
  }

  applyStatus<T extends KubeObject>(resource: Resource, object: T): Promise<T> {
    return this.serverSideApply(resource, object, '/status');
  }

  private async serverSideApply<T extends KubeObject>(
    resource: Resource,
    object: T,
    subresource: string,
  ): Promise<T> {
    const answer = await this.repeat({
      method: 'PATCH',
      path: `${objectPath(resource, object.metadata)}${subresource}`,
      query: { fieldManager, force: true },
      // JSON is YAML; this is the type that every supported version knows.
      contentType: 'application/apply-patch+yaml',
      body: object,
      timeoutMs: callTimeoutMs,
    });
    return objectOf<T>(answer, `apply ${describeObject(resource, object.metadata)}${subresource}`);
  }

  async patch<T extends KubeObject>(
    resource: Resource,
    name: ObjectName,
    patch: object,
  ): Promise<T> {
    const answer = await this.http.call({
      method: 'PATCH',
      path: objectPath(resource, name),
      query: { fieldManager },
      contentType: 'application/merge-patch+json',
      body: patch,
      timeoutMs: callTimeoutMs,
    });
    return objectOf<T>(answer, `patch ${describeObject(resource, name)}`);
  }

  async delete(
    resource: Resource,
    name: ObjectName,
    { uid, gracePeriodSeconds, propagation }: DeleteOptions = {},
  ): Promise<boolean> {
    const answer = await this.repeat({
      method: 'DELETE',
      path: objectPath(resource, name),
      body: {
        apiVersion: 'v1',
        kind: 'DeleteOptions',
        ...(uid === undefined ? {} : { preconditions: { uid } }),
        ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
        propagationPolicy: propagation ?? 'Background',
      },
      timeoutMs: callTimeoutMs,
    });
    // 409: another object has the name now; the one that was meant is gone.
    if (answer.status === 404 || (answer.status === 409 && uid !== undefined)) return false;
    if (answer.status >= 300) throw kubeError(answer, `delete ${describeObject(resource, name)}`);
    return true;
  }

  /** For calls that are the same when done twice. */
  private async repeat(call: HttpCall): Promise<HttpAnswer> {
    for (let attempt = 1; ; attempt += 1) {
      let waitMs = Math.min(firstRetryMs * 4 ** (attempt - 1), longestRetryMs);
      try {
        const answer = await this.http.call(call);
        if (attempt === tries || (answer.status !== 429 && answer.status < 500)) return answer;
        waitMs = Math.min(Math.max(waitMs, answer.retryAfterMs ?? 0), longestRetryMs);
      } catch (thrown) {
        if (attempt === tries || toPxError(thrown).code !== 'unavailable') throw thrown;
      }
      await delay(waitMs);
    }
  }
}

function objectOf<T extends KubeObject>(answer: HttpAnswer, what: string): T {
  if (answer.status < 200 || answer.status >= 300) throw kubeError(answer, what);
  if (typeof answer.json !== 'object' || answer.json === null) {
    throw new PxError('unavailable', `${what}: the API server's answer is no object`);
  }
  return answer.json as T;
}
