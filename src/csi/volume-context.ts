import type { Access } from './capability.js';
import { parseFormatOptions } from './parameters/format-options.js';
import { parseMountOptions } from './parameters/mount-options.js';
import type { ClassParameters } from './parameters/storage-class.js';

/** What the controller hands to the node through the PersistentVolume. */
const mountOptionsKey = 'px/mount-options';
const formatOptionsKey = 'px/create-options';
/** What ControllerPublish hands to the node through the VolumeAttachment. */
const readOnlyKey = 'px/read-only';

export function volumeContext(parameters: ClassParameters): Record<string, string> {
  const context: Record<string, string> = {};
  if (parameters.mountOptions?.length) context[mountOptionsKey] = parameters.mountOptions.join(',');
  if (parameters.formatOptions?.length) {
    context[formatOptionsKey] = parameters.formatOptions.join(' ');
  }
  return context;
}

export function publishContext(readOnly: boolean): Record<string, string> {
  return { [readOnlyKey]: String(readOnly) };
}

/** Checked again on the node: whoever writes a PersistentVolume by hand can write anything here. */
export function mountOptionsOf(context: Readonly<Record<string, string>>): string[] {
  return parseMountOptions(mountOptionsKey, context[mountOptionsKey] ?? '');
}

export function formatOptionsOf(context: Readonly<Record<string, string>>): string[] {
  return parseFormatOptions(formatOptionsKey, context[formatOptionsKey] ?? '');
}

/** For whichever reason: the access mode, what the controller reserved, or a mount flag. */
export function asksReadOnly(
  access: Access,
  publishContext: Readonly<Record<string, string>>,
): boolean {
  return (
    access.readOnly || publishContext[readOnlyKey] === 'true' || access.mountFlags.includes('ro')
  );
}
