import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { stringify } from 'yaml';

/**
 * What px claims, in the words of the Kubernetes project's external storage
 * suite (test/e2e/storage/external). A capability that is not here is not
 * tested; docs/conformance.md says why each of these is not.
 */
const capabilities = {
  persistence: true,
  block: true,
  fsGroup: true,
  exec: true,
  snapshotDataSource: true,
  pvcDataSource: true,
  multipods: true,
  controllerExpansion: true,
  nodeExpansion: true,
  onlineExpansion: true,
  offlineExpansion: true,
  topology: true,
  // Claimed by the definition without keys: see regionlessTag.
  capacity: false,
  readWriteOncePod: true,
  multiplePVsSameID: true,
  RWX: false,
  capReadOnlyMany: false,
  groupSnapshot: false,
  volumeLimits: false,
  volumeMountGroup: false,
  seLinuxMount: false,
  singleNodeVolume: false,
} as const;

export const driverName = 'pxd.portworx.com';

/**
 * The class that the suite makes claims with. Where a spec asks for no file system
 * it gets XFS: only a process with CAP_SYS_RESOURCE may grow a mounted ext4, and
 * machines that run tests often lack it. The specs that ask for ext4 get ext4.
 */
const storageClass = {
  apiVersion: 'storage.k8s.io/v1',
  kind: 'StorageClass',
  metadata: { name: 'px-suite' },
  provisioner: driverName,
  parameters: { repl: '2', 'csi.storage.k8s.io/fstype': 'xfs' },
  allowVolumeExpansion: true,
};

/** Capacity is published only for classes that bind late: for others nobody would look at it. */
const lateClass = { ...storageClass, volumeBindingMode: 'WaitForFirstConsumer' };

const snapshotClass = {
  apiVersion: 'snapshot.storage.k8s.io/v1',
  kind: 'VolumeSnapshotClass',
  metadata: { name: 'px-suite' },
  driver: driverName,
  deletionPolicy: 'Delete',
};

/** Changes that the suite makes to a living volume through its VolumeAttributesClass. */
const attributesClass = {
  apiVersion: 'storage.k8s.io/v1',
  kind: 'VolumeAttributesClass',
  metadata: { name: 'px-suite' },
  driverName,
  parameters: { io_throttle_wr_iops: '1000' },
};

/**
 * A volume of px is reached from every node of its region, and the cluster of the
 * test is one region: for its users there is no topology. Specs that the suite
 * keeps from drivers with any topology key run with a definition without keys.
 */
export const regionlessTag = 'in one region';

/** Writes the definitions of the driver and its classes below a directory; answers their paths. */
export async function writeDriverDefinitions(directory: string): Promise<readonly string[]> {
  const file = (name: string): string => path.join(directory, name);
  const definition = {
    StorageClass: { FromFile: file('storage-class.yaml') },
    SnapshotClass: { FromFile: file('snapshot-class.yaml') },
    VolumeAttributesClass: { FromFile: file('attributes-class.yaml') },
    DriverInfo: {
      Name: driverName,
      SupportedSizeRange: { Min: '1Gi', Max: '64Gi' },
      SupportedFsType: { '': {}, ext4: {}, xfs: {} },
      SupportedMountOption: { noatime: {} },
      TopologyKeys: [`topology.${driverName}/region`],
      Capabilities: capabilities,
    },
    InlineVolumes: [{ Attributes: { size: '1Gi', repl: '2' }, Shared: false, ReadOnly: false }],
  };
  await writeFile(file('storage-class.yaml'), stringify(storageClass));
  await writeFile(file('late-storage-class.yaml'), stringify(lateClass));
  await writeFile(file('snapshot-class.yaml'), stringify(snapshotClass));
  await writeFile(file('attributes-class.yaml'), stringify(attributesClass));
  const regionless = {
    ...definition,
    StorageClass: { FromFile: file('late-storage-class.yaml') },
    DriverInfo: {
      ...definition.DriverInfo,
      TestTags: [regionlessTag],
      TopologyKeys: [],
      Capabilities: { ...capabilities, topology: false, capacity: true },
    },
  };
  await writeFile(file('driver.yaml'), stringify(definition));
  await writeFile(file('driver-regionless.yaml'), stringify(regionless));
  return [file('driver.yaml'), file('driver-regionless.yaml')];
}
