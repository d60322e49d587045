import { spawn, type ChildProcess } from 'node:child_process';
import path from 'node:path';
import { nodeVariable, tagVariable } from '../../tools/devcluster/layout.js';
import { GiveUp, waitFor } from '../../tools/lib/wait.js';

const script = path.join(process.cwd(), 'dist/test/support/mirror-io/main.js');
const blockBytes = 4096;

/** Whose processes are found by a mark in their environment. */
interface Tagged {
  readonly layout: { readonly tag: string };
}

/**
 * What has been acknowledged on a part of a volume, kept outside of it: the
 * judge of whether a write was lost. Direct I/O, so that an acknowledgement is
 * the volume's own and not the page cache's.
 */
export class Mirror {
  readonly firstBlock: number;
  readonly blocks: number;
  private readonly stamps: Uint32Array;
  private lastStamp = 0;
  /** Writes that were in flight when a writer ended: they may have happened or not. */
  private readonly doubtful = new Set<number>();

  constructor(sizeBytes: number, offsetBytes = 0) {
    this.firstBlock = offsetBytes / blockBytes;
    this.blocks = sizeBytes / blockBytes;
    this.stamps = new Uint32Array(this.blocks);
  }

  get acknowledged(): number {
    return this.lastStamp;
  }

  /** Starts to write on `device` as a process of `node`: it dies with the node. */
  startWriter(cluster: Tagged, node: string, device: string, seed: number): MirrorWriter {
    const base = this.lastStamp + this.doubtful.size + 1;
    const args = [this.firstBlock, this.blocks, base, seed].map(String);
    const child = spawn(process.execPath, [script, 'write', device, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, [tagVariable]: cluster.layout.tag, [nodeVariable]: node },
    });
    this.lastStamp = base;
    let rest: Buffer = Buffer.alloc(0);
    child.stdout.on('data', (data: Buffer) => {
      const all = rest.length === 0 ? data : Buffer.concat([rest, data]);
      const whole = all.length - (all.length % 8);
      for (let at = 0; at < whole; at += 8) {
        this.lastStamp = all.readUInt32LE(at);
        this.stamps[all.readUInt32LE(at + 4) - this.firstBlock] = this.lastStamp;
      }
      rest = all.subarray(whole);
    });
    return new MirrorWriter(child, this, () => this.doubtful.add(this.lastStamp + 1));
  }

  /** Not acknowledged, and on its way: of writers that ended, and of one that still waits. */
  private mayHaveHappened(stamp: number): boolean {
    return this.doubtful.has(stamp) || stamp === this.lastStamp + 1;
  }

  /** Every block holds its last acknowledged write, or the one that was in flight. */
  async verify(device: string): Promise<void> {
    const found = await readStamps(device, this.firstBlock, this.blocks);
    const wrong: string[] = [];
    for (let index = 0; index < this.blocks; index++) {
      const is = found[index] ?? 0;
      const expected = this.stamps[index] ?? 0;
      if (is === expected) continue;
      if (this.mayHaveHappened(is) && is > expected) {
        // It happened after all; from now on it must stay.
        this.stamps[index] = is;
        continue;
      }
      wrong.push(`block ${this.firstBlock + index} has stamp ${is}, not ${expected}`);
    }
    if (wrong.length > 0) {
      throw new Error(`${wrong.length} blocks are wrong: ${wrong.slice(0, 5).join('; ')}`);
    }
  }
}

/** A running writer. */
export class MirrorWriter {
  readonly ended: Promise<{ code: number | null; stderr: string }>;
  private readonly child: ChildProcess;
  private readonly mirror: Mirror;
  private finished = false;

  constructor(child: ChildProcess, mirror: Mirror, onEnd: () => void) {
    this.child = child;
    this.mirror = mirror;
    let stderr = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    this.ended = new Promise((resolve) => {
      child.on('close', (code) => {
        this.finished = true;
        onEnd();
        resolve({ code, stderr });
      });
    });
  }

  /** Waits for so many more acknowledged writes. */
  async progress(writes: number, timeoutMs = 30_000): Promise<void> {
    const from = this.mirror.acknowledged;
    await waitFor(`${writes} acknowledged writes`, timeoutMs, async () => {
      if (this.finished) throw new GiveUp(`the writer ended: ${(await this.ended).stderr}`);
      return this.mirror.acknowledged >= from + writes ? true : undefined;
    });
  }

  /** Ends the writer however it is; for one whose writes are meant to fail or to hang. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.ended;
  }

  /** Ends the writer; an I/O error that it met before is thrown. */
  async stop(): Promise<void> {
    if (this.finished) throw new Error(`the writer ended: ${(await this.ended).stderr}`);
    await this.kill();
  }
}

async function readStamps(device: string, first: number, blocks: number): Promise<Uint32Array> {
  const child = spawn(process.execPath, [script, 'read', device, String(first), String(blocks)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), 60_000);
  const parts: Buffer[] = [];
  let stderr = '';
  child.stdout.on('data', (data: Buffer) => parts.push(data));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  clearTimeout(timer);
  if (code !== 0) throw new Error(`reading ${device} failed: ${stderr}`);
  const bytes = Buffer.concat(parts);
  const stamps = new Uint32Array(blocks);
  for (let index = 0; index < blocks; index++) stamps[index] = bytes.readUInt32LE(index * 4);
  return stamps;
}
