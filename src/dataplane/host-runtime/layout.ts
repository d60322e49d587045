import { basename, dirname, join } from 'node:path';
import type { RunCommand } from '../../platform/run-command.js';

/**
 * A host runtime is a directory on the host with everything that the holder and
 * the engine execute: they run in the host's mount namespace, where the image's
 * files are not, and on hosts whose C library is another one or none.
 *
 *   lib/px-ld.so     the dynamic loader of the image
 *   lib/*.so.*       the libraries of the programs and of the native modules
 *   bin/             node, losetup
 *   app/             package.json, dist/src, node_modules
 */
const loaderName = 'px-ld.so';

export const runtimePath = {
  library: (name: string) => join('lib', name),
  loader: join('lib', loaderName),
  program: (name: string) => join('bin', name),
  app: (path: string) => join('app', path),
  /** Of a file of ours, relative to the repository's root. */
  script: (runtimeDir: string, path: string) => join(runtimeDir, 'app', path),
} as const;

/** Programs that the holder runs on the host. */
export const hostPrograms = ['losetup'] as const;

/** The command line that runs a program of the runtime, whatever libraries the host has. */
export function programCommand(runtimeDir: string, program: string): readonly string[] {
  return [
    join(runtimeDir, runtimePath.loader),
    // The host's cache would lead to its own libraries.
    '--inhibit-cache',
    ...['--library-path', join(runtimeDir, 'lib')],
    join(runtimeDir, runtimePath.program(program)),
  ];
}

/** The runtime whose loader a process runs as, judged by its /proc/PID/exe; else undefined. */
export function runtimeOf(executable: string): string | undefined {
  return basename(executable) === loaderName ? dirname(dirname(executable)) : undefined;
}

/**
 * How a process starts another Node: by itself, or, when it runs from a
 * runtime, by the loader again, as `process.execPath` is the loader then.
 */
export function nodeCommand(executable: string): readonly [string, ...string[]] {
  const runtimeDir = runtimeOf(executable);
  if (runtimeDir === undefined) return [executable];
  const [loader = '', ...args] = programCommand(runtimeDir, 'node');
  return [loader, ...args];
}

/** Runs the programs that the runtime brings from there, and all others from the host. */
export function runOnHost(executable: string, run: RunCommand): RunCommand {
  const runtimeDir = runtimeOf(executable);
  if (runtimeDir === undefined) return run;
  return (file, args, options) => {
    if (!hostPrograms.some((program) => program === file)) return run(file, args, options);
    const [loader = '', ...before] = programCommand(runtimeDir, file);
    return run(loader, [...before, ...args], options);
  };
}
