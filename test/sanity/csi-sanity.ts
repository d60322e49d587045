import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { findCommand, run } from '../../tools/lib/run.js';

/** Pinned, so that the same commit gives the same answer tomorrow. */
const version = 'v5.6.0';
const source = `github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity@${version}`;
const buildTimeoutMs = 10 * 60_000;

/** The field's own test program, built once and kept in the user's cache. */
export async function findCsiSanity(say: (text: string) => void): Promise<string> {
  const cache = process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache');
  const directory = join(cache, 'px', `csi-sanity-${version}`);
  const program = join(directory, 'csi-sanity');
  if (existsSync(program)) return program;
  const go = (await findCommand('go')) ?? '/usr/local/go/bin/go';
  if (!existsSync(go)) {
    throw new Error(
      `csi-sanity needs Go to be built, and no "go" is in PATH: install it (apt-get install golang, ` +
        `or go.dev/dl), or put a csi-sanity ${version} at ${program}`,
    );
  }
  say(`building csi-sanity ${version} into ${directory} (once)`);
  await mkdir(directory, { recursive: true });
  await run(go, ['install', source], { timeoutMs: buildTimeoutMs, env: { GOBIN: directory } });
  return program;
}
