import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '../../platform/logger.js';
import { leaveCgroups, parseMemberships, strayMemberships } from './own-cgroup.js';

const pod = '/kubepods/besteffort/pod1/c1';

test('reads /proc/PID/cgroup of v1, of named hierarchies and of v2', () => {
  const text = `4:memory:${pod}\n2:cpu,cpuacct:/\n1:name=systemd:/a:b\n0::/px\n`;
  expect(parseMemberships(text)).toEqual([
    { controllers: 'memory', path: pod },
    { controllers: 'cpu,cpuacct', path: '/' },
    { controllers: 'name=systemd', path: '/a:b' },
    { controllers: '', path: '/px' },
  ]);
});

test.each([
  ['its own cgroup', `0::/px-holder`, '0::/init.scope', 0],
  ['its own, below the root of a node that is itself a container', '0::/node/px-holder', '0::/', 0],
  ['the root', '3:pids:/', '3:pids:/init.scope', 0],
  ['where the host’s init is', '1:name=systemd:/node', '1:name=systemd:/node', 0],
  ['still the pod', `3:pids:${pod}\n0::/px-holder`, '3:pids:/\n0::/', 1],
  ['a name that only ends alike', '0::/not-px-holder', '0::/', 1],
])('what binds a process to a pod: %s', (_, own, init, expected) => {
  const stray = strayMemberships(parseMemberships(own), parseMemberships(init), 'px-holder');
  expect(stray).toHaveLength(expected);
});

describe('in directories that look like a kernel', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'px-cgroup-'));
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  function kernel(own: string, init: string): void {
    for (const [pid, text] of [
      ['self', own],
      ['1', init],
    ] as const) {
      mkdirSync(join(root, 'proc', pid), { recursive: true });
      writeFileSync(join(root, 'proc', pid, 'cgroup'), text);
    }
    const lines = ['memory', 'cpuset', 'pids'].map((name, index) => {
      mkdirSync(join(root, name), { recursive: true });
      return `${index + 30} 2 0:${index} / ${join(root, name)} rw - cgroup cgroup rw,${name}`;
    });
    writeFileSync(join(root, 'proc/self/mountinfo'), `${lines.join('\n')}\n`);
  }

  test('every hierarchy is entered, and a cpuset gets what its parent has', () => {
    // The kernel would move the process; here the first and the second reading are the same.
    kernel(`3:memory:/px-t\n2:cpuset:/px-t\n`, '3:memory:/\n2:cpuset:/\n');
    writeFileSync(join(root, 'cpuset/cpuset.cpus'), '0-1\n');
    writeFileSync(join(root, 'cpuset/cpuset.mems'), '0\n');
    mkdirSync(join(root, 'cpuset/px-t'));
    writeFileSync(join(root, 'cpuset/px-t/cpuset.cpus'), '\n');
    writeFileSync(join(root, 'cpuset/px-t/cpuset.mems'), '\n');
    leaveCgroups('px-t', { proc: join(root, 'proc'), pid: 77 }, silentLogger);
    expect(readFileSync(join(root, 'memory/px-t/cgroup.procs'), 'utf8')).toBe('77');
    expect(readFileSync(join(root, 'cpuset/px-t/cgroup.procs'), 'utf8')).toBe('77');
    expect(readFileSync(join(root, 'cpuset/px-t/cpuset.cpus'), 'utf8')).toBe('0-1');
    expect(readFileSync(join(root, 'cpuset/px-t/cpuset.mems'), 'utf8')).toBe('0');
  });

  test('a hierarchy that is not mounted is passed over when the pod is not in it', () => {
    kernel('5:net_cls:/\n3:memory:/px-t\n', '5:net_cls:/\n3:memory:/\n');
    leaveCgroups('px-t', { proc: join(root, 'proc'), pid: 77 }, silentLogger);
    expect(readFileSync(join(root, 'memory/px-t/cgroup.procs'), 'utf8')).toBe('77');
  });

  test('staying in a cgroup of the pod is an error that names it', () => {
    kernel(`4:pids:${pod}\n`, '4:pids:/\n');
    expect(() => leaveCgroups('px-t', { proc: join(root, 'proc'), pid: 77 }, silentLogger)).toThrow(
      `pids:${pod}`,
    );
  });
});
