import { PxError } from '../../kernel/errors.js';
import type { KubeApi, KubeObject, Resource } from '../ports.js';
import { Applier } from './apply.js';
import type { Manifest } from './kubernetes-types.js';

/** Answers what was applied, as the API server does, and keeps count. */
class FakeKube {
  readonly calls: string[] = [];
  readonly objects = new Map<string, KubeObject>();
  refuse: PxError | undefined;

  readonly api = {
    get: async (resource: Resource, { name }: { name: string }) => this.read(resource.kind, name),
    apply: async (resource: Resource, object: KubeObject) => {
      this.calls.push(`apply ${object.metadata.name}`);
      if (this.refuse !== undefined) {
        const refusal = this.refuse;
        this.refuse = undefined;
        throw refusal;
      }
      const stored = { ...object, status: { seen: this.calls.length } };
      this.objects.set(`${resource.kind}/${object.metadata.name}`, stored);
      return stored;
    },
    delete: async (resource: Resource, { name }: { name: string }) => {
      this.calls.push(`delete ${name}`);
      return this.objects.delete(`${resource.kind}/${name}`);
    },
  } as unknown as KubeApi;

  read = (kind: string, name: string) => this.objects.get(`${kind}/${name}`);

  applier(): Applier {
    return new Applier(this.api, (resource, { name }) => this.read(resource.kind, name));
  }

  change(kind: string, name: string, more: object): void {
    const object = this.read(kind, name);
    if (object !== undefined) this.objects.set(`${kind}/${name}`, { ...object, ...more });
  }
}

const configMap = (data: Record<string, string>): Manifest => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'a', namespace: 'n', labels: { x: '1' } },
  data,
});

const storageClass: Manifest = {
  apiVersion: 'storage.k8s.io/v1',
  kind: 'StorageClass',
  metadata: { name: 'px-csi-db' },
  parameters: { repl: '3' },
};

const csiDriver: Manifest = {
  apiVersion: 'storage.k8s.io/v1',
  kind: 'CSIDriver',
  metadata: { name: 'pxd' },
};

it('asks nothing of the API server while nothing changes', async () => {
  const kube = new FakeKube();
  const applier = kube.applier();
  await applier.applyAll([configMap({ a: '1' })]);
  kube.change('ConfigMap', 'a', { status: { seen: 99 } });
  await applier.applyAll([configMap({ a: '1' })]);
  expect(kube.calls).toEqual(['apply a']);
});

it.each<[string, (kube: FakeKube) => Manifest]>([
  ['something else is wanted', () => configMap({ a: '2' })],
  [
    'somebody turned its content',
    (kube) => {
      kube.change('ConfigMap', 'a', { data: { a: 'theirs' } });
      return configMap({ a: '1' });
    },
  ],
  [
    'somebody took its labels',
    (kube) => {
      kube.change('ConfigMap', 'a', { metadata: { name: 'a', namespace: 'n' } });
      return configMap({ a: '1' });
    },
  ],
  [
    'somebody deleted it',
    (kube) => {
      kube.objects.clear();
      return configMap({ a: '1' });
    },
  ],
])('applies again when %s', async (_, act) => {
  const kube = new FakeKube();
  const applier = kube.applier();
  await applier.applyAll([configMap({ a: '1' })]);
  await applier.applyAll([act(kube)]);
  expect(kube.calls).toEqual(['apply a', 'apply a']);
});

it('applies everything once after a restart', async () => {
  const kube = new FakeKube();
  await kube.applier().applyAll([configMap({ a: '1' })]);
  await kube.applier().applyAll([configMap({ a: '1' })]);
  expect(kube.calls).toEqual(['apply a', 'apply a']);
});

it("leaves a StorageClass to the person once it is there, and makes it again when it isn't", async () => {
  const kube = new FakeKube();
  const applier = kube.applier();
  await applier.apply(storageClass);
  kube.change('StorageClass', 'px-csi-db', { parameters: { repl: '2' } });
  await applier.apply(storageClass);
  expect(kube.calls).toEqual(['apply px-csi-db']);
  kube.objects.clear();
  await applier.apply(storageClass);
  expect(kube.calls).toEqual(['apply px-csi-db', 'apply px-csi-db']);
});

it('replaces a CSIDriver whose fields cannot be changed', async () => {
  const kube = new FakeKube();
  kube.refuse = new PxError('invalid_argument', 'field is immutable');
  await kube.applier().apply(csiDriver);
  expect(kube.calls).toEqual(['apply pxd', 'delete pxd', 'apply pxd']);
});

it('goes on after a refusal and names what was refused', async () => {
  const kube = new FakeKube();
  kube.refuse = new PxError('permission_denied', 'no');
  const other = { ...configMap({}), metadata: { name: 'b', namespace: 'n' } };
  const failures = await kube.applier().applyAll([configMap({ a: '1' }), other]);
  expect(failures).toEqual([{ object: 'ConfigMap n/a', message: 'no' }]);
  expect(kube.calls).toEqual(['apply a', 'apply b']);
});
