import { PxError } from '../../kernel/errors.js';
import type { VolumeRecord, VolumeSpecRecord } from '../../kernel/volume-record.js';
import type { UpdateVolumeRequest__Output } from '../../gen/px/v1/UpdateVolumeRequest.js';
import type { Volume } from '../../gen/px/v1/Volume.js';
import type { CallContext } from '../../platform/grpc-server.js';
import type { NodeContext } from './context.js';
import { getVolume } from './read-volumes.js';

/** What a change of the record alone can change; neither replicas nor the engine know of it. */
type VolumeChanges = Omit<UpdateVolumeRequest__Output, 'id_or_name' | '_sticky'>;

/** Any node can do it: a compare-and-set on the record is all the order that it needs. */
export async function updateVolume(
  context: NodeContext,
  call: CallContext,
  request: UpdateVolumeRequest__Output,
): Promise<Volume> {
  checkLabels(request);
  const { record } = await context.volumes.require(request.id_or_name);
  const updated = await context.volumes.update(record.id, (current) => {
    return withChanges(current, request);
  });
  return getVolume(context, call, updated.id);
}

/** The record with the changes, undefined when it has them already. */
export function withChanges(
  record: VolumeRecord,
  changes: VolumeChanges,
): VolumeRecord | undefined {
  if (record.lifecycle !== 'ready') {
    throw new PxError('failed_precondition', `volume "${record.name}" is ${record.lifecycle}`);
  }
  const { sticky, labels } = record.spec;
  const kept = Object.entries(labels).filter(([name]) => !changes.remove_labels.includes(name));
  const spec: VolumeSpecRecord = {
    ...record.spec,
    sticky: changes.sticky ?? sticky,
    labels: { ...Object.fromEntries(kept), ...changes.set_labels },
  };
  const same = spec.sticky === sticky && sameLabels(spec.labels, labels);
  return same ? undefined : { ...record, spec };
}

function sameLabels(a: VolumeSpecRecord['labels'], b: VolumeSpecRecord['labels']): boolean {
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => a[name] === b[name]);
}

function checkLabels(request: UpdateVolumeRequest__Output): void {
  const names = Object.keys(request.set_labels);
  const both = names.find((name) => request.remove_labels.includes(name));
  if (both !== undefined) {
    throw new PxError('invalid_argument', `label "${both}" is both set and removed`);
  }
  if (names.includes('')) throw new PxError('invalid_argument', 'a label needs a name');
}
