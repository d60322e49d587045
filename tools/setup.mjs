// Makes a fresh clone ready: Node's version, npm packages, Debian packages, build.
// Plain JavaScript without dependencies, because it runs before anything is installed.
// Usage: node tools/setup.mjs [--no-packages] [--no-build] [--tests] [--kubernetes] [--with PACKAGE]...
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const rootDir = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const flags = process.argv.slice(2);

/** What the data plane, the tests and the demo run, and the command that shows it is there. */
const debianPackages = {
  'etcd-server': 'etcd',
  'etcd-client': 'etcdctl',
  xfsprogs: 'mkfs.xfs',
  e2fsprogs: 'mkfs.ext4',
  fio: 'fio',
  'libnbd-bin': 'nbdinfo',
  'qemu-utils': 'qemu-img',
  iproute2: 'ip',
  'util-linux': 'nsenter',
  mount: 'losetup',
  sqlite3: 'sqlite3',
  procps: 'ps',
};

/** What only a test runs: a kernel with nbd, as a process. Debian has it for x86 alone. */
const testPackages =
  process.arch === 'x64' ? { 'user-mode-linux': 'linux.uml', kmod: 'insmod' } : {};

/** What test/kubernetes runs beside the programs that it builds, and builds its images with. */
const kubernetesPackages = {
  containerd: 'containerd',
  runc: 'runc',
  'containernetworking-plugins': '/usr/lib/cni/bridge',
  iptables: 'iptables',
  conntrack: 'conntrack',
  buildah: 'buildah',
  'busybox-static': 'busybox',
  debootstrap: 'debootstrap',
  openssl: 'openssl',
  curl: 'curl',
};

function say(text) {
  process.stderr.write(`setup: ${text}\n`);
}

function fail(text) {
  say(text);
  process.exit(1);
}

function sh(command, args, options = {}) {
  // Standard output belongs to the program that is set up.
  return spawnSync(command, args, { cwd: rootDir, stdio: ['ignore', 2, 2], ...options });
}

function hasCommand(name) {
  if (name.startsWith('/')) return existsSync(name);
  const search = `${process.env.PATH ?? ''}:/usr/sbin:/sbin:/usr/local/sbin`;
  return search.split(':').some((dir) => dir !== '' && existsSync(path.join(dir, name)));
}

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 15)) {
    fail(`Node.js 20.15 or newer is needed, this is ${process.version}`);
  }
}

function installNpm() {
  const installed = path.join(rootDir, 'node_modules/.package-lock.json');
  const lock = path.join(rootDir, 'package-lock.json');
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(lock).mtimeMs) return;
  say('installing the npm packages of package-lock.json');
  const quiet = ['--no-audit', '--no-fund', '--loglevel=error'];
  const exact = sh('npm', ['ci', ...quiet], {
    stdio: ['ignore', 'pipe', 'pipe'],
    encoding: 'utf8',
  });
  if (exact.status === 0) return;
  // A mirror of the registry may lack other platforms' optional packages, which
  // "npm ci" takes for a lock file that is out of date; "npm install" does not.
  if (sh('npm', ['install', '--no-save', ...quiet]).status === 0) return;
  process.stderr.write(exact.stderr.slice(0, 1000));
  fail('the npm packages could not be installed: is the npm registry in reach?');
}

function installDebian() {
  const wanted = {
    ...debianPackages,
    ...(flags.includes('--tests') ? testPackages : {}),
    ...(flags.includes('--kubernetes') ? kubernetesPackages : {}),
  };
  const missing = Object.entries(wanted)
    .filter(([, command]) => !hasCommand(command))
    .map(([name]) => name);
  flags.forEach((flag, index) => {
    if (flag === '--with' && flags[index + 1] !== undefined) missing.push(flags[index + 1]);
  });
  if (missing.length === 0) return;
  const list = missing.join(' ');
  if (process.getuid?.() !== 0 || !hasCommand('apt-get')) {
    // Not fatal: what is left in user space is shown, and says what it lacks.
    say(`missing programs; as root: apt-get install --no-install-recommends ${list}`);
    return;
  }
  say(`installing Debian packages: ${list}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const quiet = { env, stdio: ['ignore', 'ignore', 2] };
  sh('apt-get', ['update', '-qq'], quiet);
  const args = ['install', '-y', '-qq', '--no-install-recommends', ...missing];
  const ended = withoutServices(() => sh('apt-get', args, quiet));
  if (ended.status !== 0) say(`apt-get could not install: ${list}`);
}

/**
 * A package that brings a daemon starts it, but here only its programs are
 * wanted: while packages are installed, Debian's policy-rc.d says no (101).
 */
function withoutServices(install) {
  const policy = '/usr/sbin/policy-rc.d';
  if (existsSync(policy)) return install();
  writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    return install();
  } finally {
    rmSync(policy, { force: true });
  }
}

function newest(dir, pick) {
  let latest = 0;
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    if (entry.name === 'gen') continue;
    const file = path.join(dir, entry.name);
    if (entry.isDirectory()) latest = Math.max(latest, newest(file, pick));
    else if (pick(entry.name)) latest = Math.max(latest, statSync(file).mtimeMs);
  }
  return latest;
}

function build() {
  const stamp = path.join(rootDir, 'dist/.tsbuildinfo');
  const sources = ['src', 'sim', 'tools', 'test', 'proto']
    .map((name) => path.join(rootDir, name))
    .filter((dir) => existsSync(dir));
  const latest = Math.max(...sources.map((dir) => newest(dir, (f) => /\.(ts|proto)$/.test(f))));
  if (existsSync(stamp) && statSync(stamp).mtimeMs > latest) return;
  say('building');
  if (sh('npm', ['run', '-s', 'build']).status !== 0) fail('the build failed');
}

checkNode();
installNpm();
if (!flags.includes('--no-packages')) installDebian();
if (!flags.includes('--no-build')) build();
