import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { PxError } from '../../kernel/errors.js';
import type { RunCommand } from '../../platform/run-command.js';
import { hostPrograms, runtimePath } from './layout.js';
import { librariesOf, loaderOf } from './shared-libraries.js';

export interface RuntimeFile {
  readonly source: string;
  /** Relative to the runtime. */
  readonly target: string;
  readonly executable: boolean;
}

export interface RuntimeSource {
  /** Where package.json, dist and node_modules lie. */
  readonly rootDir: string;
  readonly nodeProgram: string;
  /** As in the environment: where the host's programs are looked for. */
  readonly searchPath: string;
  readonly run: RunCommand;
}

/** What the code below `codeDirectories` imports. */
const packages = [
  ...['@grpc/grpc-js', '@grpc/proto-loader', '@node-rs/crc32', 'commander', 'etcd3', 'koffi'],
  ...['winston', 'zod'],
];
const codeDirectories = ['dataplane', 'kernel', 'platform'];
/** What doesn't run: types, documents, what debuggers read, builds for another C library. */
const leftOut = /(\.(d\.[cm]?ts|[cm]?ts|map|md|markdown|test\.js)|\/musl_\w+\/.*)$/;

/** Every file of a runtime. Programs that need no library have none. */
export async function runtimeContents(source: RuntimeSource): Promise<readonly RuntimeFile[]> {
  const { rootDir, run } = source;
  const files = new Map<string, RuntimeFile>();
  const add = (file: RuntimeFile): void => void files.set(file.target, file);
  addApplication(rootDir, add);
  const loader = await loaderOf(source.nodeProgram);
  if (loader === '') throw new PxError('failed_precondition', 'node is linked statically');
  add({ source: realpathSync(loader), target: runtimePath.loader, executable: true });
  const programs = new Map([['node', source.nodeProgram]]);
  for (const name of hostPrograms) programs.set(name, findProgram(name, source.searchPath));
  for (const [name, path] of programs) {
    add({ source: path, target: runtimePath.program(name), executable: true });
  }
  const native = [...files.values()].filter(({ target }) => target.endsWith('.node'));
  for (const file of [...programs.values(), ...native.map((module) => module.source)]) {
    for (const [name, path] of await librariesOf(run, loader, file)) {
      add({ source: realpathSync(path), target: runtimePath.library(name), executable: false });
    }
  }
  return [...files.values()].sort((a, b) => (a.target < b.target ? -1 : 1));
}

function addApplication(rootDir: string, add: (file: RuntimeFile) => void): void {
  const place = (path: string): void =>
    add({
      source: path,
      target: runtimePath.app(relative(rootDir, path)),
      executable: false,
    });
  place(join(rootDir, 'package.json'));
  for (const name of codeDirectories) {
    for (const path of filesBelow(join(rootDir, 'dist/src', name))) place(path);
  }
  for (const directory of packageDirectories(rootDir, packages)) {
    for (const path of filesBelow(directory)) place(path);
  }
  const checksums = nativeChecksums(rootDir);
  if (checksums !== undefined) add(checksums);
}

/**
 * The checksum package asks the host's /usr/bin/ldd which C library is there,
 * but here the library comes along. Under this name it finds the same module
 * also where the host's answer is musl.
 */
function nativeChecksums(rootDir: string): RuntimeFile | undefined {
  const scope = join(rootDir, 'node_modules/@node-rs');
  const gnu = filesBelow(scope).find((path) => /crc32\.linux-\w+-gnu\.node$/.test(path));
  if (gnu === undefined) return undefined;
  const name = basename(gnu).replace('-gnu.', '-musl.');
  const target = runtimePath.app(join('node_modules/@node-rs/crc32', name));
  return { source: gnu, target, executable: false };
}

function filesBelow(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => !leftOut.test(path));
}

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/** The packages and all that they depend on, found as Node finds them. */
export function packageDirectories(rootDir: string, names: readonly string[]): string[] {
  const found = new Set<string>();
  const visit = (name: string, from: string, optional: boolean): void => {
    const directory = findPackage(name, from, rootDir);
    if (directory === undefined) {
      // A native module lists its builds for all platforms; one of them is installed.
      if (optional) return;
      throw new PxError('failed_precondition', `the package ${name}, which ${from} needs, is away`);
    }
    if (found.has(directory)) return;
    found.add(directory);
    const manifest = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as Manifest;
    const options = manifest.optionalDependencies ?? {};
    for (const next of Object.keys(options)) visit(next, directory, true);
    for (const next of Object.keys(manifest.dependencies ?? {})) {
      // Types are for compilers: protobufjs lists some, and the image goes without.
      visit(next, directory, next in options || next.startsWith('@types/'));
    }
  };
  for (const name of names) visit(name, rootDir, false);
  return [...found];
}

function findPackage(name: string, from: string, rootDir: string): string | undefined {
  for (let directory = from; ; directory = dirname(directory)) {
    const candidate = join(directory, 'node_modules', name);
    if (existsSync(join(candidate, 'package.json'))) return candidate;
    if (directory === rootDir || directory === dirname(directory)) return undefined;
  }
}

function findProgram(name: string, searchPath: string): string {
  for (const directory of searchPath.split(':')) {
    const path = join(directory, name);
    if (directory !== '' && existsSync(path)) return realpathSync(path);
  }
  throw new PxError('failed_precondition', `the program "${name}" is not installed`);
}
