import type { Volume__Output } from '../gen/px/v1/Volume.js';
import type { VolumeCondition } from '../gen/csi/v1/VolumeCondition.js';
import type { VolumeHealth } from '../gen/csi/v1/VolumeHealth.js';

/** The volume's condition as clients up to CSI 1.12 ask for it. */
export function conditionOf(volume: Volume__Output): VolumeCondition {
  const reason = volume.status_reason === '' ? '' : `: ${volume.status_reason}`;
  switch (volume.status) {
    case 'up':
      return { abnormal: false, message: 'every replica is in sync' };
    case 'creating':
    case 'deleting':
      return { abnormal: false, message: `the volume is ${volume.status}${reason}` };
    default:
      return { abnormal: true, message: `the volume is ${volume.status}${reason}` };
  }
}

/** The same for clients from CSI 1.13 on. `extra` is what a node sees beyond the record. */
export function healthOf(volume: Volume__Output, extra?: VolumeCondition): VolumeHealth {
  const entries = [];
  const condition = conditionOf(volume);
  if (condition.abnormal === true) {
    const down = volume.status === 'down';
    entries.push({
      status: down ? ('INACCESSIBLE' as const) : ('DEGRADED' as const),
      reason: down ? 'VolumeDown' : 'ReplicasOutOfSync',
      message: condition.message,
    });
  }
  if (extra?.abnormal === true) {
    entries.push({
      status: 'INACCESSIBLE' as const,
      reason: 'MountUnhealthy',
      message: extra.message,
    });
  }
  return { volume_id: volume.id, health_statuses: entries };
}
