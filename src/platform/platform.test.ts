import { Writable } from 'node:stream';
import { createLogger } from './logger.js';
import { redact } from './redact.js';
import { runCommand } from './run-command.js';

describe('redact', () => {
  it('hides whatever is named like a secret, at any depth, and keeps the rest', () => {
    const shown = redact({
      name: 'v',
      secrets: { passphrase: 'x' },
      request: { Password: 'p', attachToken: 't', secret_key: 's', keys: 3, empty: { token: '' } },
      list: [{ apiKey: 'k' }],
    });
    expect(shown).toEqual({
      name: 'v',
      secrets: '***',
      request: {
        Password: '***',
        attachToken: '***',
        secret_key: '***',
        keys: 3,
        empty: { token: '' },
      },
      list: [{ apiKey: '***' }],
    });
  });

  it('survives a cycle', () => {
    const cyclic: Record<string, unknown> = {};
    cyclic.self = cyclic;
    expect(JSON.stringify(redact(cyclic))).toContain('[deep]');
  });
});

describe('createLogger', () => {
  it('writes one redacted JSON object a line, at and above its level', async () => {
    const lines: string[] = [];
    const stream = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        lines.push(chunk.toString());
        done();
      },
    });
    const log = createLogger({ program: 'px-test', level: 'info', format: 'json', stream });
    log.debug('not shown');
    log.child({ volume: 'v1' }).warn('shown', { token: 'abc' });
    await new Promise((resolve) => setImmediate(resolve));
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      level: 'warn',
      program: 'px-test',
      message: 'shown',
      volume: 'v1',
      token: '***',
    });
  });
});

describe('runCommand', () => {
  it('gives output and accepts the exit codes that are answers', async () => {
    const result = await runCommand('sh', ['-c', 'cat; echo err >&2; exit 2'], {
      timeoutMs: 5_000,
      input: 'in',
      okExitCodes: [0, 2],
    });
    expect(result).toEqual({ exitCode: 2, stdout: 'in', stderr: 'err\n' });
  });

  it('says which command failed, how, and what it said', async () => {
    await expect(
      runCommand('sh', ['-c', 'echo broken >&2; exit 3'], { timeoutMs: 5_000 }),
    ).rejects.toThrow(/"sh -c .*" gave 3: broken/);
    await expect(runCommand('px-no-such-program', [], { timeoutMs: 5_000 })).rejects.toMatchObject({
      code: 'failed_precondition',
    });
  });

  it('is bounded in time, also when a grandchild keeps the pipes, and in output', async () => {
    const startedMs = performance.now();
    await expect(
      runCommand('sh', ['-c', 'sleep 20 & sleep 20'], { timeoutMs: 200 }),
    ).rejects.toMatchObject({ code: 'deadline_exceeded' });
    await expect(
      runCommand('yes', [], { timeoutMs: 10_000, maxOutputBytes: 10_000 }),
    ).rejects.toThrow(/more than 10000 bytes/);
    expect(performance.now() - startedMs).toBeLessThan(5_000);
  });
});
