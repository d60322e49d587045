import { PxError } from '../kernel/errors.js';
import type { VolumeCapability__Output } from '../gen/csi/v1/VolumeCapability.js';
import { parseMountOptions } from './parameters/mount-options.js';

/** A capability that px can serve, in its own terms. */
export interface Access {
  readonly kind: 'block' | 'mount';
  /** What the caller asked for; '' lets the volume decide. */
  readonly fsType: '' | 'ext4' | 'xfs';
  readonly mountFlags: readonly string[];
  readonly readOnly: boolean;
  /** At most one target path on the node (ReadWriteOncePod). */
  readonly singleTarget: boolean;
}

/** The proto loader gives a known enum value as its name and an unknown one as a number. */
const singleNodeModes = [
  'SINGLE_NODE_WRITER',
  'SINGLE_NODE_READER_ONLY',
  'SINGLE_NODE_SINGLE_WRITER',
  'SINGLE_NODE_MULTI_WRITER',
];

export function readAccess(capability: VolumeCapability__Output | null | undefined): Access {
  if (capability === null || capability === undefined) {
    throw new PxError('invalid_argument', 'volume_capability is missing');
  }
  const mode = readMode(capability);
  const block = capability.block ?? undefined;
  const mount = capability.mount ?? undefined;
  if ((block === undefined) === (mount === undefined)) {
    throw new PxError('invalid_argument', 'volume_capability must say either block or mount');
  }
  if ((mount?.volume_mount_group ?? '') !== '') {
    throw new PxError('invalid_argument', 'volume_mount_group is not a capability of this driver');
  }
  return {
    kind: block === undefined ? 'mount' : 'block',
    fsType: readFsType(mount?.fs_type ?? ''),
    mountFlags: (mount?.mount_flags ?? []).flatMap((flag) =>
      parseMountOptions('mount_flags', flag),
    ),
    readOnly: mode === 'SINGLE_NODE_READER_ONLY',
    singleTarget: mode === 'SINGLE_NODE_SINGLE_WRITER',
  };
}

/** All of a volume's capabilities; they must not ask for a file system and raw block at once. */
export function readAccesses(capabilities: readonly VolumeCapability__Output[]): Access[] {
  if (capabilities.length === 0) {
    throw new PxError('invalid_argument', 'volume_capabilities is empty');
  }
  const accesses = capabilities.map(readAccess);
  if (new Set(accesses.map((access) => access.kind)).size > 1) {
    throw new PxError(
      'invalid_argument',
      'one volume cannot be raw block and a file system at once',
    );
  }
  return accesses;
}

function readMode(capability: VolumeCapability__Output): string {
  const mode = String(capability.access_mode?.mode ?? 'UNKNOWN');
  if (singleNodeModes.includes(mode)) return mode;
  const multiNode = mode.startsWith('MULTI_NODE');
  throw new PxError(
    'invalid_argument',
    `access mode ${mode} is not possible` +
      (multiNode ? ': this version has no volumes shared between nodes' : '') +
      `; allowed: ${singleNodeModes.join(', ')}`,
    { mode },
  );
}

function readFsType(fsType: string): '' | 'ext4' | 'xfs' {
  if (fsType === '' || fsType === 'ext4' || fsType === 'xfs') return fsType;
  throw new PxError('invalid_argument', `fs_type "${fsType}" is not possible; allowed: ext4, xfs`, {
    fsType,
  });
}
