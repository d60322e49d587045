import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { runtimeContents } from '../../src/dataplane/host-runtime/contents.js';
import { installRuntime } from '../../src/dataplane/host-runtime/install.js';
import { programCommand } from '../../src/dataplane/host-runtime/layout.js';
import { silentLogger } from '../../src/platform/logger.js';
import { runCommand } from '../../src/platform/run-command.js';
import { withoutForeignMounts } from '../../tools/lib/own-mounts.js';
import { describeInContainers } from '../support/needs.js';

/** The runtime on a host that has nothing of ours: no C library, no Node, not even a shell. */
jest.setTimeout(120_000);

describeInContainers('the host runtime on a foreign host', () => {
  let host: string;
  let runtime: string;

  beforeAll(async () => {
    host = mkdtempSync(path.join(tmpdir(), 'px-foreign-'));
    for (const name of ['runtime', 'proc', 'dev', 'tmp', 'usr/bin']) {
      mkdirSync(path.join(host, name), { recursive: true });
    }
    // What a host with musl has there.
    writeFileSync(path.join(host, 'usr/bin/ldd'), '#!/bin/sh\n# musl\n', { mode: 0o755 });
    runtime = await installRuntime({
      directory: path.join(host, 'runtime'),
      version: '0.0.0',
      files: await runtimeContents({
        rootDir: process.cwd(),
        nodeProgram: process.execPath,
        searchPath: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`,
        run: runCommand,
      }),
      starter: { pid: process.pid, startTime: '0' },
      logger: silentLogger,
    });
  });
  afterAll(() => rmSync(host, { recursive: true, force: true }));

  /** In a mount namespace of its own, with the host's root and its /proc. */
  function onHost(program: string, ...args: readonly string[]) {
    const inside = path.join('/runtime', path.basename(runtime));
    const prepare = `mount -t proc proc ${host}/proc && exec chroot ${host} "$@"`;
    const command = [...programCommand(inside, program), ...args];
    const contained = withoutForeignMounts(['sh', '-c', prepare, 'sh', ...command]);
    return runCommand('unshare', ['--mount', '--', ...contained], {
      timeoutMs: 60_000,
    });
  }

  it.each(['holder', 'engine'])('the %s starts, with all that it imports', async (name) => {
    const app = path.join('/runtime', path.basename(runtime), 'app');
    const script = path.join(app, `dist/src/dataplane/${name}/main.js`);
    const { stdout } = await onHost('node', script, '--help');
    expect(stdout).toContain(`Usage: px-${name}`);
  });

  it('a Node that a Node of the runtime starts runs as well', async () => {
    const layout = path.join('/runtime', path.basename(runtime), 'app/dist/src/dataplane');
    const source = `
      import { fork } from 'node:child_process';
      import { nodeCommand } from '${layout}/host-runtime/layout.js';
      const [execPath, ...execArgv] = nodeCommand(process.execPath);
      fork('${layout}/holder/main.js', ['--help'], { execPath, execArgv });`;
    const { stdout } = await onHost('node', '--input-type=module', '--eval', source);
    expect(stdout).toContain('Usage: px-holder');
  });

  it('losetup comes along', async () => {
    const { stdout } = await onHost('losetup', '--version');
    expect(stdout).toMatch(/^losetup from util-linux/);
  });
});
