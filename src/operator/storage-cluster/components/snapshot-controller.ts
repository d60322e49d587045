import { names, podLabels } from '../names.js';
import { commonPodFields, ownedMeta, type Component, type Plan } from '../plan.js';
import {
  serviceAccountWithRules,
  snapshotControllerClusterRules,
  snapshotControllerNamespaceRules,
} from './access-rules.js';
import { controllerScheduling, restrictedContainer, restrictedPod } from './pod-fields.js';

/** One a Kubernetes cluster, for all drivers: only if the person asks for it here. */
export const snapshotController: Component = (plan) => {
  // Without its custom resources the program ends at once, again and again.
  if (!plan.csi.enabled || !plan.csi.snapshotController || !plan.api.snapshots) return [];
  return [
    ...serviceAccountWithRules(
      plan,
      'snapshot-controller',
      names.snapshotController,
      snapshotControllerClusterRules,
      snapshotControllerNamespaceRules,
    ),
    deployment(plan),
  ];
};

function deployment(plan: Plan) {
  const selector = podLabels('snapshot-controller');
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: ownedMeta(plan, names.snapshotController, 'snapshot-controller'),
    spec: {
      replicas: 1,
      selector: { matchLabels: selector },
      revisionHistoryLimit: plan.revisionHistoryLimit,
      template: {
        metadata: { labels: { ...selector, 'px.io/cluster': plan.cluster.name } },
        spec: {
          serviceAccountName: names.snapshotController,
          enableServiceLinks: false,
          ...controllerScheduling(plan, selector),
          ...commonPodFields(plan),
          priorityClassName: plan.priorityClassName ?? 'system-cluster-critical',
          securityContext: restrictedPod,
          containers: [
            {
              name: names.snapshotController,
              image: plan.images.snapshotController,
              imagePullPolicy: plan.imagePullPolicy,
              args: [
                '--v=2',
                '--leader-election=true',
                // It would look for their definitions for 30 s at each start, and do nothing meanwhile.
                '--feature-gates=CSIVolumeGroupSnapshot=false',
                '--worker-threads=20',
                '--kube-api-qps=100',
                '--kube-api-burst=200',
                '--retry-interval-start=500ms',
                '--retry-interval-max=30s',
              ],
              securityContext: restrictedContainer,
              resources: { requests: { cpu: '10m', memory: '32Mi' } },
            },
          ],
        },
      },
    },
  };
}
