import type { Manifest } from '../kubernetes-types.js';
import { driverName, names, paths, podLabels } from '../names.js';
import { commonPodFields, ownedMeta, type Component, type Plan } from '../plan.js';

const healthPort = 9808;
const pluginDir = `${paths.kubelet}/plugins/${driverName}`;

/** CSI's node service: it mounts px devices into pods. */
export const csiNode: Component = (plan) =>
  plan.csi.enabled ? [serviceAccount(plan), daemonSet(plan)] : [];

function serviceAccount(plan: Plan): Manifest {
  return {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: ownedMeta(plan, names.csiNode, 'csi-node'),
    automountServiceAccountToken: false,
  };
}

function daemonSet(plan: Plan): Manifest {
  const selector = podLabels('csi-node');
  return {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: ownedMeta(plan, names.csiNode, 'csi-node'),
    spec: {
      selector: { matchLabels: selector },
      revisionHistoryLimit: plan.revisionHistoryLimit,
      // It keeps no state, so several nodes at once only delay mounts there.
      updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1 } },
      template: {
        metadata: { labels: { ...selector, 'px.io/cluster': plan.cluster.name } },
        spec: {
          serviceAccountName: names.csiNode,
          automountServiceAccountToken: false,
          enableServiceLinks: false,
          terminationGracePeriodSeconds: 30,
          affinity: { nodeAffinity: plan.placement.nodeAffinity },
          tolerations: plan.placement.tolerations,
          ...commonPodFields(plan),
          priorityClassName: plan.priorityClassName ?? 'system-node-critical',
          containers: [container(plan)],
          volumes: [
            { name: 'plugin', hostPath: { path: pluginDir, type: 'DirectoryOrCreate' } },
            {
              name: 'registration',
              hostPath: { path: `${paths.kubelet}/plugins_registry`, type: 'DirectoryOrCreate' },
            },
            { name: 'kubelet', hostPath: { path: paths.kubelet, type: 'Directory' } },
            { name: 'dev', hostPath: { path: '/dev', type: 'Directory' } },
            { name: 'run', hostPath: { path: paths.runDir, type: 'DirectoryOrCreate' } },
          ],
        },
      },
    },
  };
}

function container(plan: Plan): Readonly<Record<string, unknown>> {
  return {
    name: names.csiNode,
    image: plan.images.px,
    imagePullPolicy: plan.imagePullPolicy,
    command: ['px-csi'],
    args: [
      '--mode=node',
      '--endpoint=unix:///csi/csi.sock',
      `--node-endpoint=unix://${paths.socket}`,
      `--driver-name=${driverName}`,
      '--registration-dir=/registration',
      `--kubelet-socket-path=${pluginDir}/csi.sock`,
      `--health-port=${healthPort}`,
    ],
    // Mounts made here must be seen by the kubelet: only a privileged container may do that.
    securityContext: { privileged: true },
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
    volumeMounts: [
      { name: 'plugin', mountPath: '/csi' },
      { name: 'registration', mountPath: '/registration' },
      { name: 'kubelet', mountPath: paths.kubelet, mountPropagation: 'Bidirectional' },
      { name: 'dev', mountPath: '/dev', mountPropagation: 'HostToContainer' },
      { name: 'run', mountPath: paths.runDir, mountPropagation: 'HostToContainer' },
    ],
  };
}
