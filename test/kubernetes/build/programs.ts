import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import { findCommand, run, tryRun } from '../../../tools/lib/run.js';
import { moduleOf, readGoModule, type GoModule } from './go-module.js';

/**
 * The Go programs of the Kubernetes suite, built once into
 * `~/.cache/px/<module>-<version>/bin` and taken from there ever after.
 */
export interface Program {
  readonly name: string;
  readonly packagePath: string;
  /** `go test -c` instead of `go build`: the package has nothing but tests. */
  readonly isTest: boolean;
}

export interface BuiltModule {
  readonly name: string;
  readonly version: string;
  readonly binDir: string;
}

export interface BuildOptions {
  /** test/kubernetes/tools of the repository. */
  readonly toolsDir: string;
  readonly say: (text: string) => void;
}

/** The API server alone takes eight minutes on two cores when nothing is cached. */
const buildTimeoutMs = 40 * 60_000;

/** A module that is built from test/kubernetes/tools, without Kubernetes itself. */
export const sideModules = [
  'etcd',
  'helm',
  'coredns',
  'external-provisioner',
  'external-attacher',
  'external-resizer',
  'external-snapshotter',
] as const;

/** etcd's main package is its module's root, so that its name has to be told. */
function programOf(packagePath: string): Program {
  if (packagePath === 'go.etcd.io/etcd/server/v3') {
    return { name: 'etcd', packagePath, isTest: false };
  }
  const name = path.basename(packagePath);
  const isTest = packagePath === 'k8s.io/kubernetes/test/e2e';
  return { name: isTest ? 'e2e.test' : name, packagePath, isTest };
}

/** What `version` of the programs answers; Kubernetes' clients and servers look at it. */
function linkerFlags(version: string): string {
  const [major = '', minor = ''] = version.replace(/^v/, '').split('.');
  const base = 'k8s.io/component-base/version';
  const client = 'k8s.io/client-go/pkg/version';
  const set = [base, client].flatMap((at) => [
    `-X ${at}.gitVersion=${version}`,
    `-X ${at}.gitMajor=${major}`,
    `-X ${at}.gitMinor=${minor}`,
    `-X ${at}.gitTreeState=clean`,
  ]);
  return ['-s', '-w', `-X main.version=${version}`, ...set].join(' ');
}

function cacheDir(): string {
  return path.join(process.env.XDG_CACHE_HOME ?? path.join(homedir(), '.cache'), 'px');
}

export async function findGo(): Promise<string | undefined> {
  const standard = '/usr/local/go/bin/go';
  return (await findCommand('go')) ?? (existsSync(standard) ? standard : undefined);
}

const stampName = '.built-from';

async function isBuilt(dir: string, digest: string, programs: readonly Program[]) {
  const stamp = await readFile(path.join(dir, stampName), 'utf8').catch(() => '');
  return stamp === digest && programs.every((p) => existsSync(path.join(dir, 'bin', p.name)));
}

/** Whether programs without a stamp are those of go.mod, as the Go linker wrote into them. */
async function canAdopt(
  go: string,
  binDir: string,
  module: GoModule,
  programs: readonly Program[],
): Promise<boolean> {
  for (const program of programs) {
    const file = path.join(binDir, program.name);
    if (!existsSync(file)) return false;
    const told = await tryRun(go, ['version', '-m', file], { timeoutMs: 30_000 });
    const from = moduleOf(program.packagePath, module.versions);
    const wanted = new RegExp(`\\b${from.module.replaceAll('.', '\\.')}\\s+${from.version}\\b`);
    if (told.code !== 0 || !wanted.test(told.stdout)) return false;
  }
  return true;
}

async function compile(
  go: string,
  module: GoModule,
  version: string,
  programs: readonly Program[],
  outDir: string,
): Promise<void> {
  const options = {
    cwd: module.dir,
    timeoutMs: buildTimeoutMs,
    // -mod=mod would write into go.sum; a build must not change the sources.
    env: { CGO_ENABLED: '0', GOFLAGS: '-mod=readonly' },
  };
  const common = ['-trimpath', '-ldflags', linkerFlags(version)];
  for (const program of programs) {
    const out = ['-o', path.join(outDir, program.name), program.packagePath];
    const verb = program.isTest ? ['test', '-c'] : ['build'];
    await run(go, [...verb, ...common, ...out], options);
  }
}

interface Plan {
  readonly module: GoModule;
  readonly programs: readonly Program[];
  readonly dir: string;
  readonly built: BuiltModule;
}

async function planOf(name: string, toolsDir: string): Promise<Plan> {
  const module = await readGoModule(path.join(toolsDir, name));
  const programs = module.tools.map(programOf);
  const main = programs.find((p) => !p.packagePath.includes('ginkgo')) ?? programs[0];
  if (main === undefined) throw new Error(`${module.dir}/go.mod names no tool`);
  const { version } = moduleOf(main.packagePath, module.versions);
  const shortName = name.replace(/-\d[\d.]*$/, '');
  const dir = path.join(cacheDir(), `${shortName}-${version.replace(/^v/, '')}`);
  return {
    module,
    programs,
    dir,
    built: { name: shortName, version, binDir: path.join(dir, 'bin') },
  };
}

export async function isModuleBuilt(name: string, toolsDir: string): Promise<boolean> {
  const { module, programs, dir } = await planOf(name, toolsDir);
  return isBuilt(dir, module.digest, programs);
}

/** Builds the programs of one directory of tools/, or finds them built. */
export async function buildModule(name: string, options: BuildOptions): Promise<BuiltModule> {
  const { module, programs, dir, built } = await planOf(name, options.toolsDir);
  const { name: shortName, version } = built;
  if (await isBuilt(dir, module.digest, programs)) return built;
  const go = await findGo();
  if (go === undefined) {
    throw new Error(`${shortName} ${version} is built with Go, and no "go" is in PATH`);
  }
  if (
    !existsSync(path.join(dir, stampName)) &&
    (await canAdopt(go, built.binDir, module, programs))
  ) {
    await writeFile(path.join(dir, stampName), module.digest);
    return built;
  }
  options.say(`building ${shortName} ${version} into ${built.binDir} (once)`);
  const partial = path.join(cacheDir(), `.partial-${shortName}-${process.pid}`);
  await mkdir(path.join(partial, 'bin'), { recursive: true });
  try {
    await compile(go, module, version, programs, path.join(partial, 'bin'));
    await writeFile(path.join(partial, stampName), module.digest);
    await rm(dir, { recursive: true, force: true });
    await rename(partial, dir);
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
  return built;
}

/** The versions of Kubernetes that tools/ has modules for, for example `1.35`. */
export async function kubernetesVersions(toolsDir: string): Promise<string[]> {
  const prefix = 'kubernetes-';
  const names = await readdir(toolsDir);
  return names
    .filter((name) => name.startsWith(prefix))
    .map((name) => name.slice(prefix.length))
    .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
}

export async function buildKubernetes(
  version: string,
  options: BuildOptions,
): Promise<BuiltModule> {
  const known = await kubernetesVersions(options.toolsDir);
  if (!known.includes(version)) {
    throw new Error(`no Kubernetes ${version} under test/kubernetes/tools: ${known.join(', ')}`);
  }
  return buildModule(`kubernetes-${version}`, options);
}
