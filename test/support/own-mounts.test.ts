import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { withoutForeignMounts } from '../../tools/lib/own-mounts.js';
import { command, LoopDevices, mebibyte } from '../pool/loop-device.js';
import { describeOnCluster } from './needs.js';

describeOnCluster('a mount namespace of a test', () => {
  test('keeps no loop device of another test in use', async () => {
    const directory = mkdtempSync(path.join(tmpdir(), 'px-mounts-'));
    const disks = new LoopDevices();
    const mountPoint = path.join(directory, 'mounted');
    mkdirSync(mountPoint);
    try {
      const device = disks.create(300 * mebibyte);
      command('mkfs.xfs', '-q', device);
      command('mount', device, mountPoint);
      const script = 'cat /proc/self/mountinfo; echo ready; exec sleep 60';
      const inside = withoutForeignMounts(['sh', '-c', script]);
      const other = spawn('unshare', ['--mount', '--', ...inside], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let seen = '';
      for await (const text of other.stdout.setEncoding('utf8')) {
        seen += String(text);
        if (seen.includes('ready')) break;
      }
      expect(seen).not.toContain(mountPoint);
      expect(readFileSync('/proc/self/mountinfo', 'utf8')).toContain(mountPoint);
      command('umount', mountPoint);
      // The kernel would refuse a device that is mounted anywhere.
      command('mkfs.xfs', '-q', '-f', device);
      other.kill('SIGKILL');
      await once(other, 'exit');
    } finally {
      disks.remove();
      rmSync(directory, { recursive: true, force: true });
    }
  }, 60_000);
});
