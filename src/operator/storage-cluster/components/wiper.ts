import { createHash } from 'node:crypto';
import type { Manifest } from '../kubernetes-types.js';
import { driverName, names, paths, podLabels } from '../names.js';
import { ownedMeta, type Plan } from '../plan.js';
import { hostMounts, hostPod, nodeNameEnv } from './px-node.js';

export interface WipeOrder {
  readonly node: string;
  /** Only what runs and is mounted ends; the state of the node stays. */
  readonly onlyStop?: boolean;
  /** Also what is on the devices. */
  readonly devices: boolean;
  /** Also the cluster's records in an external key-value store: the last one only. */
  readonly kvdbKeys: boolean;
}

/** Names of nodes may be longer than those of Jobs, whose pods carry them as a label. */
export function wipeJobName(node: string): string {
  return jobName(names.wipe, node);
}

export function stopJobName(node: string): string {
  return jobName(names.stop, node);
}

function jobName(prefix: string, node: string): string {
  const digest = createHash('sha256').update(node).digest('hex').slice(0, 8);
  return `${prefix}-${node.replace(/[^a-z0-9-]/g, '-').slice(0, 40)}-${digest}`;
}

export const wipedNodeAnnotation = 'px.io/node';

/** Ends what px left running on a node and removes its state there. */
export function wipeJob(plan: Plan, order: WipeOrder): Manifest {
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      ...ownedMeta(plan, (order.onlyStop === true ? stopJobName : wipeJobName)(order.node), 'wipe'),
      // One that only ends what runs tells nobody that the node is clean.
      ...(order.onlyStop === true ? {} : { annotations: { [wipedNodeAnnotation]: order.node } }),
    },
    spec: {
      // It is asked again until it succeeds: half a removal is no state to stop in.
      backoffLimit: 1_000,
      template: {
        metadata: { labels: podLabels('wipe') },
        spec: {
          ...hostPod(plan, kubeletVolumes),
          restartPolicy: 'OnFailure',
          terminationGracePeriodSeconds: 30,
          affinity: onNode(order.node),
          // The node may be cordoned or tainted by now; its state must go all the same.
          tolerations: [{ operator: 'Exists' }],
          initContainers: [driverRemover(plan)],
          containers: [
            {
              name: names.wipe,
              image: plan.images.px,
              imagePullPolicy: plan.imagePullPolicy,
              command: ['px-node', order.onlyStop === true ? 'stop' : 'wipe'],
              args: [
                `--config-dir=${paths.configDir}`,
                '--node-name=$(NODE_NAME)',
                ...(order.onlyStop === true ? [] : ['--yes']),
                ...(order.devices ? ['--devices'] : []),
                ...(order.kvdbKeys ? ['--kvdb-keys'] : []),
              ],
              env: [nodeNameEnv],
              securityContext: { privileged: true, runAsUser: 0, runAsGroup: 0 },
              volumeMounts: hostMounts(plan),
              terminationMessagePolicy: 'FallbackToLogsOnError',
            },
          ],
        },
      },
    },
  };
}

const kubeletVolumes = [
  { name: 'plugins', hostPath: { path: `${paths.kubelet}/plugins`, type: 'DirectoryOrCreate' } },
  {
    name: 'registration',
    hostPath: { path: `${paths.kubelet}/plugins_registry`, type: 'DirectoryOrCreate' },
  },
];

/** The kubelet knows the driver as long as its socket is there, also without anybody behind it. */
function driverRemover(plan: Plan) {
  return {
    name: 'driver',
    image: plan.images.px,
    imagePullPolicy: plan.imagePullPolicy,
    command: ['rm', '-rf', `/registration/${driverName}-reg.sock`, `/plugins/${driverName}`],
    securityContext: { privileged: true, runAsUser: 0, runAsGroup: 0 },
    volumeMounts: [
      { name: 'plugins', mountPath: '/plugins' },
      { name: 'registration', mountPath: '/registration' },
    ],
  };
}

function onNode(node: string) {
  return {
    nodeAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: {
        nodeSelectorTerms: [
          { matchFields: [{ key: 'metadata.name', operator: 'In', values: [node] }] },
        ],
      },
    },
  };
}
