import { existsSync, readdirSync, readFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { runCommand } from '../../src/platform/run-command.js';
import type { Facts } from './facts.js';

/**
 * The kernel of a test machine may lack nbd, so this one brings its own: a
 * user-mode Linux (Debian's user-mode-linux, an ordinary process) with the real
 * driver, in which a real cluster runs from this machine's file system.
 */
const modules = '/usr/lib/uml/modules';
const bootTimeoutMs = 300_000;

function nbdModule(): string | undefined {
  if (!existsSync('/usr/bin/linux.uml') || !existsSync(modules)) return undefined;
  return readdirSync(modules)
    .map((version) => join(modules, version, 'kernel/drivers/block/nbd.ko'))
    .find((file) => existsSync(file));
}

const needed =
  process.getuid?.() !== 0 ? 'root' : nbdModule() === undefined ? 'user-mode-linux' : '';
const suite = needed === '' ? describe : describe.skip;

suite(`a volume as a device of the kernel's nbd${needed && ` (skipped: needs ${needed})`}`, () => {
  const out = mkdtempSync(join(tmpdir(), 'px-uml-'));
  let facts: Facts;

  function log(name: string): string {
    const file = join(out, name);
    return existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(-60).join('\n') : '';
  }

  beforeAll(async () => {
    const rootDir = process.cwd();
    const guest = {
      PX_MODULE: nbdModule() ?? '',
      PX_NODE: process.execPath,
      PX_MAIN: resolve('dist/test/nbd-device/guest/main.js'),
      PX_ROOT: rootDir,
      PX_OUT: out,
    };
    await runCommand(
      '/usr/bin/linux.uml',
      [
        ...['mem=3G', 'root=/dev/root', 'rootfstype=hostfs', 'rootflags=/', 'rw', 'quiet'],
        ...[`init=${resolve('test/nbd-device/guest/init.sh')}`, 'con=null', 'con0=null,fd:1'],
        ...['umid=guest', `uml_dir=${out}/uml`],
        ...Object.entries(guest).map(([name, value]) => `${name}=${value}`),
      ],
      { timeoutMs: bootTimeoutMs },
    );
    const file = join(out, 'facts.json');
    if (!existsSync(file)) throw new Error(`${log('guest.log')}\n${log('dmesg.log')}`);
    facts = JSON.parse(readFileSync(file, 'utf8')) as Facts;
  }, bootTimeoutMs + 10_000);

  afterAll(() => rmSync(out, { recursive: true, force: true }));

  it('is one device, however often it is asked for, and says whose it is', () => {
    expect(facts.devicePath).toMatch(/^\/dev\/nbd\d+$/);
    expect(facts.attachedAgain).toBe(facts.devicePath);
    expect(facts.listed).toBe(facts.devicePath);
    expect(facts.sectors).toBe((256 * 1024 * 1024) / 512);
    expect(facts.backend).toMatch(/^px:\/run\/px\/n1\/.*:[0-9a-f-]{36}$/);
  });

  it('gives no I/O error and loses no write when the engine is killed under load', () => {
    expect(facts.enginesKilled).toBe(3);
    expect(facts.fioExit).toBe(0);
    expect(facts.readAfterIdleKill).toBe('read');
    expect({ equal: facts.equal, differences: facts.differences }).toEqual({
      ...{ equal: true, differences: 0 },
    });
  });

  it('is not taken from a file system, grows, can be read-only, and goes away', () => {
    expect(facts.refusedWhileMounted).toContain('is in use: mounted on /run/mnt');
    expect(facts.sectorsAfterResize).toBe((320 * 1024 * 1024) / 512);
    expect(facts.readOnly).toBe('1');
    expect(facts.sectorsAfterDetach).toBe(0);
  });

  it('is taken down where another node took the volume by force', () => {
    expect(facts.takenOverBy).toMatch(/^px:\/run\/px\/n2\//);
    expect(facts.loserGone).toBe(true);
    expect(facts.connectedAtEnd).toBe(0);
  });
});
