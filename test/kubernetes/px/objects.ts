/** Objects of a user, as small as they can be. */
export const busyboxImage = 'docker.io/library/busybox:1.37';

export function storageClass(name: string, parameters: Readonly<Record<string, string>>): object {
  return {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'StorageClass',
    metadata: { name },
    provisioner: 'pxd.portworx.com',
    parameters,
    allowVolumeExpansion: true,
  };
}

export function claim(
  namespace: string,
  name: string,
  spec: Readonly<Record<string, unknown>> & { readonly storageClassName: string },
  storage = '1Gi',
): object {
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name, namespace },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage } }, ...spec },
  };
}

/** A pod that keeps its claim mounted at /data, or has it as the device /dev/data. */
export function podWith(
  namespace: string,
  name: string,
  claimName: string,
  asDevice = false,
): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace },
    spec: {
      terminationGracePeriodSeconds: 1,
      containers: [
        {
          name: 'user',
          image: busyboxImage,
          imagePullPolicy: 'IfNotPresent',
          command: ['sh', '-c', 'trap "exit 0" TERM; while :; do sleep 1000 & wait $!; done'],
          ...(asDevice
            ? { volumeDevices: [{ name: 'data', devicePath: '/dev/data' }] }
            : { volumeMounts: [{ name: 'data', mountPath: '/data' }] }),
        },
      ],
      volumes: [{ name: 'data', persistentVolumeClaim: { claimName } }],
    },
  };
}

export function snapshotOf(namespace: string, name: string, claimName: string): object {
  return {
    apiVersion: 'snapshot.storage.k8s.io/v1',
    kind: 'VolumeSnapshot',
    metadata: { name, namespace },
    spec: {
      volumeSnapshotClassName: 'px-csi-snapclass',
      source: { persistentVolumeClaimName: claimName },
    },
  };
}
