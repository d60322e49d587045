import type { Manifest } from '../kubernetes-types.js';
import { driverName, names, podLabels } from '../names.js';
import { commonPodFields, ownedMeta, type Component, type Plan } from '../plan.js';
import {
  csiControllerClusterRules,
  csiControllerNamespaceRules,
  serviceAccountWithRules,
} from './access-rules.js';
import { controllerScheduling, restrictedContainer, restrictedPod } from './pod-fields.js';

const healthPort = 9808;
const socket = '/csi/csi.sock';

/** CSI's controller service with the programs that turn claims into calls of it. */
export const csiController: Component = (plan) =>
  plan.csi.enabled
    ? [
        ...serviceAccountWithRules(
          plan,
          'csi-controller',
          names.csiController,
          csiControllerClusterRules,
          csiControllerNamespaceRules,
        ),
        deployment(plan),
      ]
    : [];

function deployment(plan: Plan): Manifest {
  const selector = podLabels('csi-controller');
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: ownedMeta(plan, names.csiController, 'csi-controller'),
    spec: {
      // A second one waits, so that the death of a node costs seconds instead of a new pod's start.
      replicas: Object.keys(plan.nodeConfigs).length > 1 ? 2 : 1,
      selector: { matchLabels: selector },
      revisionHistoryLimit: plan.revisionHistoryLimit,
      template: {
        metadata: { labels: { ...selector, 'px.io/cluster': plan.cluster.name } },
        spec: {
          serviceAccountName: names.csiController,
          enableServiceLinks: false,
          ...controllerScheduling(plan, selector),
          ...commonPodFields(plan),
          priorityClassName: plan.priorityClassName ?? 'system-cluster-critical',
          securityContext: restrictedPod,
          containers: [
            pxCsi(plan),
            sidecar(plan, 'csi-provisioner', plan.images.provisioner, provisionerFlags),
            sidecar(plan, 'csi-attacher', plan.images.attacher, attacherFlags),
            sidecar(plan, 'csi-resizer', plan.images.resizer, resizerFlags),
            // It can't start where its custom resources are not served.
            ...(plan.api.snapshots
              ? [sidecar(plan, 'csi-snapshotter', plan.images.snapshotter, snapshotterFlags)]
              : []),
          ],
          volumes: [{ name: 'socket', emptyDir: {} }],
        },
      },
    },
  };
}

function pxCsi(plan: Plan): Readonly<Record<string, unknown>> {
  return {
    name: names.csiController,
    image: plan.images.px,
    imagePullPolicy: plan.imagePullPolicy,
    command: ['px-csi'],
    args: [
      '--mode=controller',
      `--endpoint=unix://${socket}`,
      `--node-endpoint=${plan.apiAddress}`,
      `--driver-name=${driverName}`,
      `--health-port=${healthPort}`,
    ],
    securityContext: restrictedContainer,
    ports: [{ name: 'health', containerPort: healthPort, protocol: 'TCP' }],
    livenessProbe: {
      httpGet: { path: '/healthz', port: 'health' },
      initialDelaySeconds: 10,
      periodSeconds: 20,
      timeoutSeconds: 5,
      failureThreshold: 5,
    },
    resources: { requests: { cpu: '10m', memory: '64Mi' } },
    terminationMessagePolicy: 'FallbackToLogsOnError',
    volumeMounts: [{ name: 'socket', mountPath: '/csi' }],
  };
}

/**
 * The client's own limit of 5 requests a second would make a hundred claims
 * take minutes; the API server has its own priority and fairness.
 */
const apiRate = ['--kube-api-qps=100', '--kube-api-burst=200'];
const retries = ['--retry-interval-start=500ms', '--retry-interval-max=30s'];

const provisionerFlags = [
  // A new replica set is made on several nodes; the default of 10 s is for one.
  '--timeout=60s',
  '--worker-threads=100',
  '--feature-gates=Topology=true',
  '--extra-create-metadata=true',
  '--default-fstype=ext4',
  '--enable-capacity=true',
  // Pod, ReplicaSet, Deployment: the capacity objects go when the Deployment goes.
  '--capacity-ownerref-level=2',
  '--capacity-poll-interval=30s',
  // A provisioner that died in a restore has left its finalizer on the snapshot: until the
  // next sweep, by default after 5 minutes, the snapshot can't be deleted.
  '--snapshot-orphan-sweep-interval=1m',
  // One object a class and a node, by default one a second: a new class would wait for minutes.
  '--kube-api-capacity-qps=20',
  '--kube-api-capacity-burst=50',
  ...retries,
  ...apiRate,
];

const attacherFlags = [
  '--timeout=60s',
  '--worker-threads=50',
  '--default-fstype=ext4',
  ...retries,
  ...apiRate,
];

const resizerFlags = [
  '--timeout=60s',
  '--workers=20',
  // Growing works while a volume is in use.
  '--handle-volume-inuse-error=false',
  '--extra-modify-metadata=true',
  ...retries,
  ...apiRate,
];

const snapshotterFlags = [
  '--timeout=60s',
  '--worker-threads=20',
  '--extra-create-metadata=true',
  ...retries,
  ...apiRate,
];

function sidecar(
  plan: Plan,
  name: string,
  image: string,
  flags: readonly string[],
): Readonly<Record<string, unknown>> {
  const field = (fieldPath: string) => ({ valueFrom: { fieldRef: { fieldPath } } });
  return {
    name,
    image,
    imagePullPolicy: plan.imagePullPolicy,
    args: [`--csi-address=${socket}`, '--v=2', '--leader-election=true', ...flags],
    env: [
      { name: 'NAMESPACE', ...field('metadata.namespace') },
      { name: 'POD_NAME', ...field('metadata.name') },
    ],
    securityContext: restrictedContainer,
    resources: { requests: { cpu: '10m', memory: '32Mi' } },
    volumeMounts: [{ name: 'socket', mountPath: '/csi' }],
  };
}
