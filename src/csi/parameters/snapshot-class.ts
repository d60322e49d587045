import { PxError } from '../../kernel/errors.js';
import { badValue } from './values.js';

const typeKey = 'csi.openstorage.org/snapshot-type';
const cloudKeys = [
  'csi.openstorage.org/credential-id',
  'csi.openstorage.org/snapshot-credential-id',
  'csi.openstorage.org/snapshot-incremental-count',
];

/** The snapshotter's own keys (--extra-create-metadata) and the labels they become. */
const metadataLabels: Readonly<Record<string, string>> = {
  'csi.storage.k8s.io/volumesnapshot/name': 'volumesnapshot',
  'csi.storage.k8s.io/volumesnapshot/namespace': 'namespace',
  'csi.storage.k8s.io/volumesnapshotcontent/name': 'volumesnapshotcontent',
};

/** Reads a VolumeSnapshotClass's parameters: the labels that the snapshot gets. */
export function parseSnapshotClass(
  parameters: Readonly<Record<string, string>>,
): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const key of Object.keys(parameters).sort()) {
    const value = parameters[key] ?? '';
    if (key === typeKey) {
      if (value !== 'local') throw badValue(key, value, 'local (this version has no cloud backup)');
    } else if (cloudKeys.includes(key)) {
      throw new PxError(
        'invalid_argument',
        `parameter "${key}" is for cloud snapshots, which this version does not have; ` +
          'allowed: leave it out',
        { key },
      );
    } else labels[metadataLabels[key] ?? key] = value;
  }
  return labels;
}
