import { open } from 'node:fs/promises';
import { basename } from 'node:path';
import { PxError } from '../../kernel/errors.js';
import type { RunCommand } from '../../platform/run-command.js';

const listTimeoutMs = 30_000;
/** Program header type of the path of the interpreter. Source: elf(5). */
const PT_INTERP = 3;

/** The dynamic loader that an ELF program names; '' for a static one. */
export async function loaderOf(file: string): Promise<string> {
  const handle = await open(file, 'r');
  try {
    const header = Buffer.alloc(64);
    await handle.read(header, 0, 64, 0);
    const isElf64 = header.readUInt32BE(0) === 0x7f454c46 && header[4] === 2 && header[5] === 1;
    if (!isElf64) throw new PxError('failed_precondition', `${file} is no 64-bit ELF program`);
    const entryBytes = header.readUInt16LE(54);
    const count = header.readUInt16LE(56);
    const table = Buffer.alloc(entryBytes * count);
    await handle.read(table, 0, table.length, Number(header.readBigUInt64LE(32)));
    for (let at = 0; at < table.length; at += entryBytes) {
      if (table.readUInt32LE(at) !== PT_INTERP) continue;
      const path = Buffer.alloc(Number(table.readBigUInt64LE(at + 32)));
      await handle.read(path, 0, path.length, Number(table.readBigUInt64LE(at + 8)));
      return path.toString('latin1').replace(/\0.*$/s, '');
    }
    return '';
  } finally {
    await handle.close();
  }
}

/** The libraries that the loader would map for the file, by the name it asks for. */
export async function librariesOf(
  run: RunCommand,
  loader: string,
  file: string,
): Promise<ReadonlyMap<string, string>> {
  // What ldd(1) does, without its shell.
  const { stdout } = await run(loader, ['--list', file], { timeoutMs: listTimeoutMs });
  return parseLibraries(stdout, loader, file);
}

/** `\tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f…)` */
export function parseLibraries(
  text: string,
  loader: string,
  file: string,
): ReadonlyMap<string, string> {
  const libraries = new Map<string, string>();
  for (const line of text.split('\n')) {
    const match = /^\s+(\S+) => (.+?)(?: \(0x[0-9a-f]+\))?$/.exec(line);
    if (match === null) continue;
    const [, name = '', path = ''] = match;
    if (path === 'not found') {
      throw new PxError('failed_precondition', `${file} needs ${name}, which is not there`);
    }
    // The loader itself comes under its own name.
    if (path !== loader && basename(name) !== basename(loader)) libraries.set(name, path);
  }
  return libraries;
}
