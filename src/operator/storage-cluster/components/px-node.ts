import type { Manifest } from '../kubernetes-types.js';
import { names, paths, podLabels } from '../names.js';
import { commonPodFields, ownedMeta, type Component, type Plan } from '../plan.js';

/**
 * The data plane. It is privileged, in the host's network and PID namespaces:
 * it formats devices, makes loop devices and FUSE mounts, and starts the
 * processes of the block path outside of its own pod, so that they outlive it.
 */
export const pxNode: Component = (plan) => [serviceAccount(plan), pxApi(plan), daemonSet(plan)];

function serviceAccount(plan: Plan): Manifest {
  return {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: ownedMeta(plan, names.node, 'node'),
    // px-node never talks to the API server.
    automountServiceAccountToken: false,
  };
}

function daemonSet(plan: Plan): Manifest {
  const selector = podLabels('node');
  return {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: ownedMeta(plan, names.node, 'node'),
    spec: {
      selector: { matchLabels: selector },
      revisionHistoryLimit: plan.revisionHistoryLimit,
      minReadySeconds: plan.minReadySeconds,
      // The operator ends the pods itself: only the data plane knows which node may stop now.
      updateStrategy: { type: 'OnDelete' },
      template: {
        metadata: {
          labels: { ...selector, 'px.io/cluster': plan.cluster.name },
          annotations: templateAnnotations(plan),
        },
        spec: {
          ...hostPod(plan),
          terminationGracePeriodSeconds: 30,
          affinity: { nodeAffinity: plan.placement.nodeAffinity },
          tolerations: plan.placement.tolerations,
          containers: [container(plan)],
        },
      },
    },
  };
}

function templateAnnotations(plan: Plan): Readonly<Record<string, string>> {
  return {
    // px-node reads credentials when it starts, so changed ones ask for a new pod.
    ...(plan.kvdbSecret === undefined ? {} : { 'px.io/kvdb-secret-hash': plan.kvdbSecret.hash }),
    ...(plan.exportMetrics
      ? {
          'prometheus.io/scrape': 'true',
          'prometheus.io/port': String(plan.startPort),
          'prometheus.io/path': '/metrics',
        }
      : {}),
  };
}

/** What px-node and the wiper share: the host's namespaces and the volumes. */
export function hostPod(
  plan: Plan,
  moreVolumes: readonly object[] = [],
): Readonly<Record<string, unknown>> {
  return {
    serviceAccountName: names.node,
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    hostNetwork: true,
    hostPID: true,
    dnsPolicy: 'ClusterFirstWithHostNet',
    ...commonPodFields(plan),
    priorityClassName: plan.priorityClassName ?? 'system-node-critical',
    volumes: [
      // A node that has just joined may have its pod before its configuration: px-node waits.
      { name: 'config', configMap: { name: names.config, optional: true } },
      { name: 'dev', hostPath: { path: '/dev', type: 'Directory' } },
      { name: 'lib', hostPath: { path: paths.dataDir, type: 'DirectoryOrCreate' } },
      { name: 'run', hostPath: { path: paths.runDir, type: 'DirectoryOrCreate' } },
      ...(plan.kvdbSecret === undefined
        ? []
        : [
            {
              name: 'kvdb-auth',
              secret: { secretName: plan.kvdbSecret.name, defaultMode: 0o400 },
            },
          ]),
      ...plan.volumes.map(({ mount, source }) => ({ name: mount.name, ...source })),
      ...moreVolumes,
    ],
  };
}

export function hostMounts(plan: Plan): readonly object[] {
  return [
    { name: 'config', mountPath: paths.configDir, readOnly: true },
    { name: 'dev', mountPath: '/dev' },
    { name: 'lib', mountPath: paths.dataDir, mountPropagation: 'Bidirectional' },
    { name: 'run', mountPath: paths.runDir, mountPropagation: 'Bidirectional' },
    ...(plan.kvdbSecret === undefined
      ? []
      : [{ name: 'kvdb-auth', mountPath: paths.kvdbSecretDir, readOnly: true }]),
    ...plan.volumes.map(({ mount }) => mount),
  ];
}

export const nodeNameEnv = {
  name: 'NODE_NAME',
  valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: 'spec.nodeName' } },
} as const;

function container(plan: Plan): Readonly<Record<string, unknown>> {
  const probe = (path: string) => ({ httpGet: { host: '127.0.0.1', port: plan.startPort, path } });
  return {
    name: names.node,
    image: plan.images.px,
    imagePullPolicy: plan.imagePullPolicy,
    command: ['px-node'],
    args: [
      `--config-dir=${paths.configDir}`,
      '--node-name=$(NODE_NAME)',
      `--host-runtime-dir=${paths.dataDir}/runtime`,
      `--health-address=127.0.0.1:${plan.startPort}`,
    ],
    env: [nodeNameEnv, ...plan.env],
    securityContext: { privileged: true, runAsUser: 0, runAsGroup: 0 },
    resources: plan.resources,
    ports: [
      hostPort('metrics', plan.startPort),
      hostPort('api', plan.startPort + 1),
      hostPort('data', plan.startPort + 2),
    ],
    // Its event loop turns; never whether the key-value store or a disk is well, which no restart mends.
    livenessProbe: {
      ...probe('/healthz'),
      initialDelaySeconds: 10,
      periodSeconds: 10,
      timeoutSeconds: 5,
      failureThreshold: 6,
    },
    readinessProbe: {
      ...probe('/readyz'),
      periodSeconds: 5,
      timeoutSeconds: 5,
      failureThreshold: 2,
    },
    volumeMounts: hostMounts(plan),
    // The reason of its end stands in the pod's status, and from there in the cluster's conditions.
    terminationMessagePolicy: 'FallbackToLogsOnError',
  };
}

/** Named for the scheduler: two pods with one host port don't share a node. */
function hostPort(name: string, port: number) {
  return { name, containerPort: port, hostPort: port, protocol: 'TCP' };
}

/** Any px-node that is ready answers for the whole cluster. */
export function pxApi(plan: Plan): Manifest {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: ownedMeta(plan, names.api, 'node'),
    spec: {
      type: 'ClusterIP',
      selector: podLabels('node'),
      ports: [
        { name: 'grpc', port: plan.startPort + 1, targetPort: plan.startPort + 1, protocol: 'TCP' },
        { name: 'metrics', port: plan.startPort, targetPort: plan.startPort, protocol: 'TCP' },
      ],
    },
  };
}
