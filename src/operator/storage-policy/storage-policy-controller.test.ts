import type { StorageCluster } from '../../crds/storage-cluster.js';
import type { StoragePolicyResource } from '../../crds/storage-policy.js';
import type { StoragePolicyStatus__Output } from '../../gen/px/v1/StoragePolicyStatus.js';
import { PxError } from '../../kernel/errors.js';
import { silentLogger } from '../../platform/logger.js';
import type { Controller, EventNote, KubeCache, KubeObject, OperatorContext } from '../ports.js';
import { setUpStoragePolicies } from './storage-policy-controller.js';

/** An API server and a px that keep objects in memory; px knows one default, as the real one does. */
class World {
  readonly resources = new Map<string, StoragePolicyResource>();
  readonly px = new Map<string, StoragePolicyStatus__Output>();
  readonly events: EventNote[] = [];
  readonly enqueued: string[] = [];
  statusWrites = 0;
  clusterPhase: string | undefined = 'Running';
  failure: PxError | undefined;
  time = Date.parse('2026-01-01T00:00:00Z');
  readonly controller: Controller;
  private notify: (object: StoragePolicyResource, change: 'set' | 'gone') => void = () => undefined;

  constructor() {
    this.controller = setUpStoragePolicies(this.context(), (key) => this.enqueued.push(key));
  }

  apply(name: string, spec: object = {}): void {
    const before = this.resources.get(name);
    const generation = (before?.metadata.generation ?? 0) + 1;
    const resource = {
      apiVersion: 'core.libopenstorage.org/v1',
      kind: 'StoragePolicy',
      metadata: {
        name,
        uid: name,
        generation,
        creationTimestamp: new Date(this.time).toISOString(),
      },
      spec,
      ...(before?.status === undefined ? {} : { status: before.status }),
    } as unknown as StoragePolicyResource;
    this.time += 1000;
    this.resources.set(name, resource);
    this.notify(resource, 'set');
  }

  remove(name: string): void {
    const resource = this.resources.get(name);
    this.resources.delete(name);
    if (resource !== undefined) this.notify(resource, 'gone');
  }

  condition(name: string, type: string) {
    return this.resources.get(name)?.status?.conditions?.find((one) => one.type === type);
  }

  private context(): OperatorContext {
    const cluster = () =>
      this.clusterPhase === undefined
        ? []
        : [{ metadata: { name: 'c' }, status: { phase: this.clusterPhase } } as StorageCluster];
    const cache = <T>(all: () => readonly unknown[], onChange: (listener: never) => void) =>
      ({ synced: async () => undefined, all, get: () => undefined, onChange }) as unknown as T;
    return {
      cache: ({ kind }: { kind: string }) =>
        kind === 'StoragePolicy'
          ? cache<KubeCache<StoragePolicyResource>>(
              () => [...this.resources.values()],
              (listener) => (this.notify = listener),
            )
          : cache<KubeCache<StorageCluster>>(cluster, () => undefined),
      kube: {
        applyStatus: async (
          _: unknown,
          object: KubeObject & Pick<StoragePolicyResource, 'status'>,
        ) => {
          const before = this.resources.get(object.metadata.name);
          if (before === undefined) throw new PxError('not_found', 'no such object');
          this.statusWrites += 1;
          const after = { ...before, status: object.status } as StoragePolicyResource;
          this.resources.set(object.metadata.name, after);
          this.notify(after, 'set');
          return object;
        },
      },
      px: {
        any: async () => ({
          ListStoragePolicies: async () => ({ policies: [...this.px.values()] }),
          PutStoragePolicy: async (request: { name: string; policy_json: string; owner: string }) =>
            this.put(request),
          DeleteStoragePolicy: async ({ name }: { name: string }) => void this.px.delete(name),
        }),
      },
      events: { note: (_: KubeObject, note: EventNote) => void this.events.push(note) },
      clock: { nowMs: () => this.time, timestamp: () => new Date(this.time).toISOString() },
      logger: silentLogger,
    } as unknown as OperatorContext;
  }

  private put(request: { name: string; policy_json: string; owner: string }): void {
    if (this.failure !== undefined) throw this.failure;
    const policy = JSON.parse(request.policy_json) as { default: boolean };
    const holder = [...this.px.values()].find((other) => other.is_default);
    if (policy.default && holder !== undefined && holder.name !== request.name) {
      throw new PxError('failed_precondition', `default: "${holder.name}" is the default already`);
    }
    this.px.set(request.name, {
      ...{ ...request, is_default: policy.default, governed: 1, violations: [] },
      ...{ changing: 0, waiting: 0 },
    });
  }
}

let world: World;
beforeEach(() => (world = new World()));

describe('the controller of storage policies', () => {
  it('puts, changes and takes out what the resources say, and writes how it is', async () => {
    world.apply('gold', { volume: { replication: { value: 2 } } });
    world.px.set('mine', { ...emptyPolicy('mine'), owner: '' });
    await world.controller.reconcile('policies');
    expect(world.px.get('gold')?.owner).toBe('kubernetes');
    expect(world.resources.get('gold')?.status).toMatchObject({ governed: 1, violating: 0 });
    expect(world.condition('gold', 'Applied')?.status).toBe('True');
    world.apply('gold', { allowUpdate: true });
    await world.controller.reconcile('policies');
    expect(JSON.parse(world.px.get('gold')?.policy_json ?? '')).toMatchObject({
      allowUpdate: true,
    });
    world.remove('gold');
    await world.controller.reconcile('policies');
    expect([...world.px.keys()]).toEqual(['mine']);
  });

  it('writes nothing and wakes nobody when nothing changed', async () => {
    world.apply('gold');
    expect(world.enqueued).toEqual(['policies']);
    await world.controller.reconcile('policies');
    await world.controller.reconcile('policies');
    expect(world.statusWrites).toBe(1);
    expect(world.enqueued).toEqual(['policies']);
    world.apply('gold', { default: true });
    expect(world.enqueued).toEqual(['policies', 'policies']);
  });

  it('says once which default was refused, and puts it when the other is gone', async () => {
    world.apply('first', { default: true });
    world.apply('second', { default: true });
    await world.controller.reconcile('policies');
    expect(world.condition('first', 'Applied')?.status).toBe('True');
    expect(world.condition('second', 'Applied')).toMatchObject({
      status: 'False',
      message: 'default: "first" is the default already',
    });
    await world.controller.reconcile('policies');
    expect(world.events).toEqual([
      expect.objectContaining({ type: 'Warning', reason: 'PolicyRefused' }),
    ]);
    world.remove('first');
    await world.controller.reconcile('policies');
    expect(world.px.get('second')?.is_default).toBe(true);
    expect(world.condition('second', 'Applied')?.status).toBe('True');
  });

  it('is tried again when px does not answer, and does nothing without a cluster', async () => {
    world.apply('gold');
    world.failure = new PxError('unavailable', 'no answer');
    await expect(world.controller.reconcile('policies')).rejects.toThrow('no answer');
    world.failure = undefined;
    world.clusterPhase = undefined;
    expect(await world.controller.reconcile('policies')).toBeUndefined();
    expect(world.px.size).toBe(0);
    world.clusterPhase = 'Running';
    await world.controller.reconcile('policies');
    expect(world.px.size).toBe(1);
  });
});

function emptyPolicy(name: string): StoragePolicyStatus__Output {
  const policy_json = '{"default":false}';
  const counts = { governed: 0, changing: 0, waiting: 0 };
  return { name, policy_json, is_default: false, violations: [], owner: '', ...counts };
}
