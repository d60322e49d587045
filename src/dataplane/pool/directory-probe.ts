import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PxError } from '../../kernel/errors.js';
import { closeFile, openFile, OpenFlag, punchHole } from '../sys/files.js';
import { errnoName, must } from '../sys/libc.js';
import { cloneFile } from '../sys/reflink.js';

const probeBytes = 64 * 1024;

/**
 * Learns by doing whether the file system clones files, and throws when it
 * can't punch holes: discards could not give space back then, nor would
 * anything unwritten read as zeroes after a resync.
 */
export function probeDirectory(directory: string): 'reflink' | 'copy' {
  const probe = join(directory, '.px-probe');
  rmSync(probe, { recursive: true, force: true });
  mkdirSync(probe);
  try {
    writeFileSync(join(probe, 'source'), Buffer.alloc(probeBytes, 1));
    const source = must(openFile(join(probe, 'source'), OpenFlag.RDWR), 'opening the probe file');
    const flags = OpenFlag.RDWR | OpenFlag.CREAT;
    const target = must(openFile(join(probe, 'target'), flags), 'creating the probe file');
    try {
      const cloned = cloneFile(source, target);
      const punched = punchHole(source, 0, probeBytes);
      if (punched < 0) {
        throw new PxError(
          'failed_precondition',
          `the file system of ${directory} can't punch holes (${errnoName(punched)})`,
        );
      }
      return cloned < 0 ? 'copy' : 'reflink';
    } finally {
      closeFile(source);
      closeFile(target);
    }
  } finally {
    rmSync(probe, { recursive: true, force: true });
  }
}
