import { existsSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseMountInfo } from '../../platform/block/mountinfo.js';
import { closeFile, openFile, OpenFlag } from '../sys/files.js';
import { Errno, errnoName } from '../sys/libc.js';
import type { DriveView } from './contracts.js';

export type Media = DriveView['media'];

/** What the kernel says of a block device. */
export interface DeviceFacts {
  /** As configured. */
  readonly path: string;
  /** After links (`/dev/disk/by-id/…`) are followed. */
  readonly realPath: string;
  readonly deviceNumber: string;
  readonly sizeBytes: number;
  readonly media: Media;
  readonly rotational: boolean;
  readonly model: string;
  /** '' or why nothing but adoption of our own file system may happen to it. */
  readonly inUse: string;
}

/** Throws an Error with a sentence when it is no whole block device. */
export function readDeviceFacts(path: string): DeviceFacts {
  const realPath = realpathSync(path);
  const stats = statSync(realPath);
  if (!stats.isBlockDevice()) throw new Error(`${path} is not a block device`);
  const name = basename(realPath);
  const sysfs = join('/sys/class/block', name);
  if (!existsSync(sysfs)) throw new Error(`the kernel does not show ${name} in /sys/class/block`);
  if (existsSync(join(sysfs, 'partition'))) {
    throw new Error(`${path} is a partition; only whole devices are taken`);
  }
  // The number of 512-byte sectors whatever the device's block size is (sysfs-block ABI).
  const sizeBytes = Number(attribute(sysfs, 'size')) * 512;
  return {
    path,
    realPath,
    deviceNumber: attribute(sysfs, 'dev'),
    sizeBytes,
    media: mediaOf(name, sysfs),
    rotational: attribute(sysfs, 'queue/rotational') === '1',
    model: attribute(sysfs, 'device/model'),
    inUse: useOf(sysfs, name, sizeBytes),
  };
}

/** The whole disks of the machine: no loop, RAM, optical or stacked devices. */
export function listDisks(): string[] {
  return readdirSync('/sys/class/block')
    .filter((name) => /^(sd|vd|xvd|hd|nvme|mmcblk|pmem)/.test(name))
    .filter((name) => !existsSync(join('/sys/class/block', name, 'partition')))
    .filter((name) => !/^mmcblk\d+(boot|rpmb)/.test(name))
    .filter((name) => attribute(join('/sys/class/block', name), 'size') !== '0')
    .sort()
    .map((name) => join('/dev', name));
}

/**
 * '' when nobody else has the device. The kernel grants an exclusive open
 * (O_EXCL without O_CREAT, open(2)) only when no file system, swap, RAID,
 * device mapper or partition of it is in use, in whichever namespace.
 */
export function exclusiveUseProblem(realPath: string): string {
  const fd = openFile(realPath, OpenFlag.RDONLY | OpenFlag.EXCL);
  if (fd === -Errno.EBUSY) return 'it is in use (mounted, swap, or held by another device)';
  if (fd < 0) return `it can't be opened: ${errnoName(fd)}`;
  closeFile(fd);
  return '';
}

/** Where the device is mounted in this mount namespace. Source: proc_pid_mountinfo(5). */
export function mountPointsOf(deviceNumber: string): string[] {
  return parseMountInfo(readFileSync('/proc/self/mountinfo', 'utf8'))
    .filter((entry) => entry.device === deviceNumber)
    .map((entry) => entry.mountPoint);
}

function useOf(sysfs: string, name: string, sizeBytes: number): string {
  if (!(sizeBytes > 0)) return 'it has no size';
  if (attribute(sysfs, 'ro') === '1') return 'it is read-only';
  const holders = entries(join(sysfs, 'holders'));
  if (holders.length > 0) return `it is held by ${holders.join(', ')}`;
  const partitions = entries(sysfs).filter(
    (entry) => entry.startsWith(name) && existsSync(join(sysfs, entry, 'partition')),
  );
  return partitions.length > 0 ? `it has partitions: ${partitions.join(', ')}` : '';
}

function mediaOf(name: string, sysfs: string): Media {
  if (name.startsWith('loop')) return 'loop';
  if (name.startsWith('nvme')) return 'nvme';
  return attribute(sysfs, 'queue/rotational') === '1' ? 'hdd' : 'ssd';
}

function attribute(sysfs: string, name: string): string {
  try {
    return readFileSync(join(sysfs, name), 'utf8').trim();
  } catch {
    return '';
  }
}

function entries(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
