import type { VolumeCapability__Output } from '../gen/csi/v1/VolumeCapability.js';
import { readAccess, readAccesses } from './capability.js';

function mount(mode: string, fsType = '', flags: string[] = []): VolumeCapability__Output {
  return {
    mount: { fs_type: fsType, mount_flags: flags, volume_mount_group: '' },
    access_mode: { mode },
    access_type: 'mount',
  } as VolumeCapability__Output;
}

const block: VolumeCapability__Output = {
  block: {},
  access_mode: { mode: 'SINGLE_NODE_WRITER' },
  access_type: 'block',
};
const invalid = expect.objectContaining({ code: 'invalid_argument' }) as Error;

describe('volume capabilities', () => {
  it('reads the single-node modes', () => {
    expect(readAccess(mount('SINGLE_NODE_WRITER'))).toEqual({
      kind: 'mount',
      fsType: '',
      mountFlags: [],
      readOnly: false,
      singleTarget: false,
    });
    expect(readAccess(mount('SINGLE_NODE_READER_ONLY')).readOnly).toBe(true);
    expect(readAccess(mount('SINGLE_NODE_SINGLE_WRITER')).singleTarget).toBe(true);
    expect(readAccess(mount('SINGLE_NODE_MULTI_WRITER')).singleTarget).toBe(false);
    expect(readAccess(block).kind).toBe('block');
  });

  test.each(['MULTI_NODE_READER_ONLY', 'MULTI_NODE_SINGLE_WRITER', 'MULTI_NODE_MULTI_WRITER'])(
    'refuses %s and says why',
    (mode) => {
      expect(() => readAccess(mount(mode))).toThrow(invalid);
      expect(() => readAccess(mount(mode))).toThrow(/shared between nodes/);
    },
  );

  it('refuses an unknown mode, a missing type and both types', () => {
    expect(() => readAccess(mount('UNKNOWN'))).toThrow(invalid);
    expect(() => readAccess({ ...block, access_mode: null })).toThrow(invalid);
    expect(() => readAccess({ access_mode: { mode: 'SINGLE_NODE_WRITER' } })).toThrow(invalid);
    expect(() => readAccess({ ...mount('SINGLE_NODE_WRITER'), block: {} })).toThrow(invalid);
    expect(() => readAccess(null)).toThrow(invalid);
  });

  it('takes ext4 and xfs only', () => {
    expect(readAccess(mount('SINGLE_NODE_WRITER', 'xfs')).fsType).toBe('xfs');
    expect(() => readAccess(mount('SINGLE_NODE_WRITER', 'btrfs'))).toThrow(/allowed: ext4, xfs/);
  });

  it('splits mount flags and refuses those that mount something else', () => {
    const flags = ['noatime,nodev', 'commit=5'];
    expect(readAccess(mount('SINGLE_NODE_WRITER', 'ext4', flags)).mountFlags).toEqual([
      'noatime',
      'nodev',
      'commit=5',
    ]);
    expect(() => readAccess(mount('SINGLE_NODE_WRITER', '', ['remount']))).toThrow(invalid);
    expect(() => readAccess(mount('SINGLE_NODE_WRITER', '', ['noatime /etc']))).toThrow(invalid);
  });

  it('refuses an empty list and a mix of block and file system', () => {
    expect(() => readAccesses([])).toThrow(invalid);
    expect(() => readAccesses([block, mount('SINGLE_NODE_WRITER')])).toThrow(invalid);
    expect(readAccesses([block, block])).toHaveLength(2);
  });
});
