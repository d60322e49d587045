import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export function command(file: string, ...args: readonly string[]): string {
  return execFileSync(file, args, { encoding: 'utf8', timeout: 60_000, stdio: 'pipe' }).trim();
}

/** A folder of its own with loop devices in it; `remove` leaves nothing behind. */
export class LoopDevices {
  readonly directory = mkdtempSync(join(tmpdir(), 'px-loop-'));
  private readonly devices: string[] = [];

  create(sizeBytes: number): string {
    const image = join(this.directory, `image-${this.devices.length}`);
    writeFileSync(image, '');
    truncateSync(image, sizeBytes);
    return this.attach(image);
  }

  attach(image: string): string {
    const device = command('losetup', '--find', '--show', image);
    this.devices.push(device);
    return device;
  }

  detach(device: string): void {
    command('losetup', '--detach', device);
    this.devices.splice(this.devices.indexOf(device), 1);
  }

  /** The kernel says what is still mounted below the folder, whatever a failed test did. */
  unmountAll(): void {
    const points = command('findmnt', '--raw', '--noheadings', '--output', 'TARGET')
      .split('\n')
      .filter((point) => point.startsWith(`${this.directory}/`));
    for (const point of points.reverse()) command('umount', point);
  }

  remove(): void {
    this.unmountAll();
    for (const device of [...this.devices]) this.detach(device);
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export const mebibyte = 1024 * 1024;
