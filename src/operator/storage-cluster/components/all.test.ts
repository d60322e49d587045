import { buildPlan } from '../build-plan.js';
import type { Manifest } from '../kubernetes-types.js';
import { resourceOf } from '../owned-kinds.js';
import type { Plan } from '../plan.js';
import type { Observed } from '../observed.js';
import { testCluster, testObserved } from '../testing-observed.js';
import { desiredObjects } from './all.js';

function planOf(spec: unknown = {}, more: Partial<Observed> = {}): Plan {
  const plan = buildPlan(testObserved(spec, more));
  if (plan === undefined) throw new Error('the members of the key-value store are chosen');
  return plan;
}

const objectsOf = (spec: unknown = {}, more: Partial<Observed> = {}) =>
  desiredObjects(planOf(spec, more));

const all = { csi: { installSnapshotController: true } };

interface PodTemplate {
  readonly spec: {
    readonly serviceAccountName: string;
    readonly priorityClassName: string;
    readonly imagePullSecrets?: readonly object[];
    readonly hostNetwork?: boolean;
    readonly tolerations: readonly object[];
    readonly volumes?: readonly { readonly name: string }[];
    readonly containers: readonly {
      readonly name: string;
      readonly image: string;
      readonly args: readonly string[];
      readonly env?: readonly { readonly name: string }[];
      readonly resources?: object;
      readonly securityContext?: { readonly privileged?: boolean };
      readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string }[];
    }[];
  };
  readonly metadata: { readonly labels: object; readonly annotations?: Record<string, string> };
}

interface Workload {
  readonly replicas?: number;
  readonly selector: { readonly matchLabels: object };
  readonly template: PodTemplate;
  readonly updateStrategy?: { readonly type: string };
}

function find(objects: readonly Manifest[], kind: string, name: string): Manifest {
  const found = objects.find((one) => one.kind === kind && one.metadata.name === name);
  if (found === undefined) throw new Error(`there is no ${kind} ${name}`);
  return found;
}

const workload = (objects: readonly Manifest[], kind: string, name: string) =>
  find(objects, kind, name).spec as Workload;

const workloads = (objects: readonly Manifest[]) =>
  objects
    .filter(({ kind }) => kind === 'DaemonSet' || kind === 'Deployment')
    .map((one) => ({ name: one.metadata.name, ...(one.spec as Workload) }));

describe('every object', () => {
  const objects = objectsOf(all);

  it('is of a kind that is pruned, once, and carries the labels of the cluster', () => {
    const keys = objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`);
    expect(new Set(keys).size).toBe(keys.length);
    for (const object of objects) {
      expect(() => resourceOf(object)).not.toThrow();
      expect(object.metadata.labels).toMatchObject({
        'app.kubernetes.io/managed-by': 'px-operator',
        'px.io/cluster': 'px',
      });
    }
  });

  it('goes with the StorageCluster where Kubernetes allows an owner', () => {
    for (const object of objects) {
      const { ownerReferences, namespace } = object.metadata;
      if (resourceOf(object).namespaced) {
        expect(namespace).toBe('portworx');
        expect(ownerReferences).toMatchObject([{ kind: 'StorageCluster', uid: 'uid-px' }]);
      } else {
        // An owner in a namespace makes the garbage collector delete a cluster-scoped object.
        expect(ownerReferences).toBeUndefined();
        expect(namespace).toBeUndefined();
      }
    }
  });

  it('finds its ServiceAccount, and its own pods', () => {
    for (const { selector, template } of workloads(objects)) {
      expect(() => find(objects, 'ServiceAccount', template.spec.serviceAccountName)).not.toThrow();
      expect(template.metadata.labels).toMatchObject(selector.matchLabels);
    }
    const selectors = workloads(objects).map(({ selector }) => JSON.stringify(selector));
    expect(new Set(selectors).size).toBe(selectors.length);
  });

  it('mounts only volumes that are there', () => {
    for (const { template } of workloads(objects)) {
      const names = (template.spec.volumes ?? []).map(({ name }) => name);
      for (const { volumeMounts = [] } of template.spec.containers) {
        expect(names).toEqual(expect.arrayContaining(volumeMounts.map(({ name }) => name)));
      }
    }
  });

  it('has no right to everything, and none to secrets', () => {
    const rules = objects.flatMap((one) => (one.rules as Record<string, string[]>[]) ?? []);
    expect(rules.length).toBeGreaterThan(10);
    for (const rule of rules) {
      const words = [...(rule.apiGroups ?? []), ...(rule.resources ?? []), ...(rule.verbs ?? [])];
      expect(words).not.toContain('*');
      expect(words).not.toContain('secrets');
      expect(words).not.toContain('escalate');
    }
  });

  it('is privileged only where it mounts', () => {
    const privileged = workloads(objects).flatMap(({ name, template }) =>
      template.spec.containers.some((one) => one.securityContext?.privileged === true)
        ? [name]
        : [],
    );
    expect(privileged).toEqual(['px-node', 'px-csi-node']);
  });
});

describe('px-node', () => {
  it('is replaced by the operator alone', () => {
    expect(workload(objectsOf(), 'DaemonSet', 'px-node').updateStrategy).toEqual({
      type: 'OnDelete',
    });
  });

  it('starts on a node that is out of service, where it must come back', () => {
    const { template } = workload(objectsOf(), 'DaemonSet', 'px-node');
    expect(template.spec.tolerations).toContainEqual({
      key: 'node.kubernetes.io/out-of-service',
      operator: 'Exists',
      effect: 'NoExecute',
    });
  });

  it('takes what the StorageCluster says of its pods', () => {
    const { template } = workload(
      objectsOf({
        image: 'mine/px:7',
        imagePullSecret: 'pull',
        priorityClassName: 'mine',
        startPort: 10_001,
        env: [{ name: 'A', value: '1' }],
        resources: { requests: { cpu: '2' } },
        volumes: [{ name: 'x', mountPath: '/x', hostPath: { path: '/y' } }],
        monitoring: { prometheus: { exportMetrics: true } },
      }),
      'DaemonSet',
      'px-node',
    );
    const [container] = template.spec.containers;
    expect(container).toMatchObject({ image: 'mine/px:7', resources: { requests: { cpu: '2' } } });
    expect(container?.env?.map(({ name }) => name)).toEqual(['NODE_NAME', 'A']);
    expect(container?.args).toContain('--health-address=127.0.0.1:10001');
    expect(container?.volumeMounts).toContainEqual({ name: 'user-x', mountPath: '/x' });
    expect(template.spec.volumes).toContainEqual({ name: 'user-x', hostPath: { path: '/y' } });
    expect(template.spec).toMatchObject({
      priorityClassName: 'mine',
      imagePullSecrets: [{ name: 'pull' }],
    });
    expect(template.metadata.annotations).toMatchObject({ 'prometheus.io/port': '10001' });
  });

  it('gets new pods when the credentials of its key-value store change', () => {
    const hashOf = (password: string) => {
      const secret = {
        ...{ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'auth' } },
        data: { password },
      };
      const spec = { kvdb: { endpoints: ['etcd:http://e:2379'], authSecret: 'auth' } };
      const objects = objectsOf(spec, { kvdbSecret: secret, cluster: testCluster(spec) });
      const { template } = workload(objects, 'DaemonSet', 'px-node');
      expect(template.spec.volumes).toContainEqual({
        name: 'kvdb-auth',
        secret: { secretName: 'auth', defaultMode: 0o400 },
      });
      expect(JSON.stringify(objects)).not.toContain(password);
      return template.metadata.annotations?.['px.io/kvdb-secret-hash'];
    };
    expect(hashOf('c2VjcmV0MQ==')).not.toBe(hashOf('c2VjcmV0Mg=='));
  });
});

describe('the driver', () => {
  const names = (objects: readonly Manifest[]) =>
    objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`);

  it('is not there when it is not wanted', () => {
    const found = names(objectsOf({ csi: { enabled: false, installSnapshotController: true } }));
    expect(found.filter((name) => /csi|snapshot|StorageClass/i.test(name))).toEqual([]);
    expect(found).toContain('DaemonSet px-node');
  });

  it('does without snapshots where they are not served', () => {
    const objects = objectsOf(all, { snapshotApi: false });
    expect(names(objects)).not.toContain('Deployment px-snapshot-controller');
    expect(names(objects)).not.toContain('VolumeSnapshotClass px-csi-snapclass');
    const { template } = workload(objects, 'Deployment', 'px-csi-controller');
    expect(template.spec.containers.map(({ name }) => name)).not.toContain('csi-snapshotter');
  });

  it('has the snapshot controller only when it is asked for', () => {
    expect(names(objectsOf({}))).not.toContain('Deployment px-snapshot-controller');
    expect(names(objectsOf(all))).toContain('Deployment px-snapshot-controller');
  });

  it('frees snapshots that a dead provisioner held within a minute', () => {
    const { template } = workload(objectsOf(all), 'Deployment', 'px-csi-controller');
    const provisioner = template.spec.containers.find(({ name }) => name === 'csi-provisioner');
    expect(provisioner?.args).toContain('--snapshot-orphan-sweep-interval=1m');
  });

  it('starts a snapshot controller that waits for no definitions of group snapshots', () => {
    const { template } = workload(objectsOf(all), 'Deployment', 'px-snapshot-controller');
    const [container] = template.spec.containers;
    expect(container?.args).toContain('--feature-gates=CSIVolumeGroupSnapshot=false');
  });

  it('reaches px by the address of its Service', () => {
    const flag = (more: Partial<Observed>) =>
      workload(
        objectsOf({}, more),
        'Deployment',
        'px-csi-controller',
      ).template.spec.containers[0]?.args.find((one) => one.startsWith('--node-endpoint='));
    expect(flag({})).toBe('--node-endpoint=10.96.0.7:9002');
    expect(flag({ apiClusterIp: 'fd00::7' })).toBe('--node-endpoint=[fd00::7]:9002');
    expect(flag({ apiClusterIp: undefined })).toBe('--node-endpoint=px-api.portworx.svc:9002');
  });

  it('waits with a second controller where there is a second node', () => {
    const replicas = (count: number) => {
      const { nodes } = testObserved();
      return workload(
        objectsOf({}, { nodes: nodes.slice(0, count) }),
        'Deployment',
        'px-csi-controller',
      ).replicas;
    };
    expect([replicas(1), replicas(3)]).toEqual([1, 2]);
  });

  it('has no classes where they are not wanted', () => {
    const annotations = { 'portworx.io/disable-storage-class': 'true' };
    const cluster = testCluster({}, { metadata: { name: 'px', annotations } });
    const kinds = objectsOf({}, { cluster }).map(({ kind }) => kind);
    expect(kinds).not.toContain('StorageClass');
    expect(kinds).not.toContain('VolumeSnapshotClass');
  });
});

it.each([
  [0, 0],
  [1, 0],
  [3, 2],
])('with %i nodes the disruption budget keeps %i', (count, expected) => {
  const { nodes, kvdbMembers } = testObserved();
  const objects = objectsOf({}, { nodes: nodes.slice(0, count), kvdbMembers });
  expect(find(objects, 'PodDisruptionBudget', 'px-node').spec).toMatchObject({
    minAvailable: expected,
  });
});

it('has a configuration for each node that may run px', () => {
  const { data } = find(objectsOf(), 'ConfigMap', 'px-config');
  expect(Object.keys(data as object)).toEqual(['node-1.json', 'node-2.json', 'node-3.json']);
});

it('plans nothing before the key-value store has members', () => {
  expect(buildPlan(testObserved({}, { kvdbMembers: [] }))).toBeUndefined();
});
