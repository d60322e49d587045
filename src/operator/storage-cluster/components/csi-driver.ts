import { driverName } from '../names.js';
import { clusterMeta, type Component } from '../plan.js';

export const csiDriver: Component = (plan) =>
  plan.csi.enabled
    ? [
        {
          apiVersion: 'storage.k8s.io/v1',
          kind: 'CSIDriver',
          metadata: clusterMeta(plan, driverName, 'csi-controller'),
          spec: {
            // Attaching reserves the volume for a node: that is what fences the others.
            attachRequired: true,
            podInfoOnMount: true,
            fsGroupPolicy: 'File',
            storageCapacity: true,
            // A label given at mount time costs nothing; relabelling each file of a volume does.
            seLinuxMount: true,
            requiresRepublish: false,
            volumeLifecycleModes: ['Persistent', 'Ephemeral'],
          },
        },
      ]
    : [];
