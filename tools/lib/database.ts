import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { chown, mkdir, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { nodeVariable, tagVariable } from '../devcluster/layout.js';
import { run, tryRun } from './run.js';

/**
 * A database on a volume, as a witness: it commits one record after another,
 * each durable (fsync) before it is acknowledged, and the number of the last
 * acknowledged record is kept here, outside the volume.
 */
export interface Owner {
  readonly tag: string;
  readonly node: string;
  /** The node's own directory, which goes with the cluster. */
  readonly dir: string;
}

export interface Database {
  readonly name: string;
  /** Makes or opens the database below `dir`. */
  open(dir: string, owner: Owner): Promise<Session>;
}

export interface Session {
  /** Runs a statement and waits until the database says that it is committed. */
  execute(sql: string): Promise<string[]>;
  close(): Promise<void>;
}

const endMark = 'px-statement-done';

/** A command-line client that stays open: one line in, the answer up to a mark out. */
class ClientSession implements Session {
  private readonly child: ChildProcessWithoutNullStreams;
  private readonly mark: string;
  private readonly shutdown: () => Promise<void>;
  private buffer = '';
  private errors = '';
  private waiting: { resolve: (lines: string[]) => void; reject: (e: Error) => void } | undefined;

  constructor(child: ChildProcessWithoutNullStreams, mark: string, shutdown: () => Promise<void>) {
    this.child = child;
    this.mark = mark;
    this.shutdown = shutdown;
    child.stdout.setEncoding('utf8').on('data', (text: string) => this.take(text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (this.errors += text));
    child.stdin.on('error', () => undefined);
    child.on('close', () => this.fail());
    child.on('error', () => this.fail());
  }

  private fail(): void {
    this.waiting?.reject(new Error(`the database's client ended: ${this.errors.slice(-300)}`));
    this.waiting = undefined;
  }

  private take(text: string): void {
    this.buffer += text;
    const at = this.buffer.indexOf(`${endMark}\n`);
    if (at < 0) return;
    const lines = this.buffer.slice(0, at).split('\n').filter(Boolean);
    this.buffer = this.buffer.slice(at + endMark.length + 1);
    const { waiting } = this;
    this.waiting = undefined;
    if (this.errors === '') waiting?.resolve(lines);
    else waiting?.reject(new Error(this.errors.slice(-300)));
  }

  execute(sql: string): Promise<string[]> {
    return new Promise((resolve, reject) => {
      if (this.child.exitCode !== null || this.child.signalCode !== null) {
        reject(new Error(`the database's client ended: ${this.errors.slice(-300)}`));
        return;
      }
      this.waiting = { resolve, reject };
      this.child.stdin.write(`${sql}\n${this.mark}\n`);
    });
  }

  async close(): Promise<void> {
    this.child.stdin.end();
    await this.shutdown();
  }
}

function ownedEnv(owner: Owner): NodeJS.ProcessEnv {
  return { ...process.env, [tagVariable]: owner.tag, [nodeVariable]: owner.node };
}

const sqlite: Database = {
  name: 'SQLite',
  open: async (dir, owner) => {
    const child = spawn('sqlite3', ['-batch', path.join(dir, 'demo.sqlite')], {
      env: ownedEnv(owner),
    });
    const session = new ClientSession(child, `.print ${endMark}`, async () => {
      const ended = new Promise((resolve) => child.once('close', resolve));
      await Promise.race([ended, delay(10_000)]);
    });
    // FULL: the write-ahead log is synced at every commit.
    await session.execute('PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;');
    return session;
  },
};

function postgres(binDir: string, uid: number): Database {
  return {
    name: 'PostgreSQL',
    open: async (dir, owner) => {
      const data = path.join(dir, 'postgres');
      // Its socket must not lie on the volume, and its path is short.
      const sockets = path.join(owner.dir, 'postgres');
      const env = ownedEnv(owner);
      for (const made of [data, sockets]) {
        await mkdir(made, { recursive: true, mode: 0o700 });
        await chown(made, uid, -1);
      }
      const asUser = (args: readonly string[]): Promise<string> =>
        run('setpriv', [`--reuid=${uid}`, '--clear-groups', '--', ...args], {
          timeoutMs: 120_000,
          cwd: '/',
          env: env as Record<string, string>,
        });
      if ((await readdir(data)).length === 0) {
        await asUser([path.join(binDir, 'initdb'), '-D', data, '-A', 'trust', '-U', 'px']);
      }
      // After a kill -9 the lock file names a process of a machine that is gone.
      await rm(path.join(data, 'postmaster.pid'), { force: true });
      const settings = `-c listen_addresses='' -c unix_socket_directories=${sockets}`;
      const ctl = path.join(binDir, 'pg_ctl');
      await asUser([ctl, '-D', data, '-o', settings, '-l', `${sockets}/log`, '-w', 'start']);
      const child = spawn('psql', ['-h', sockets, '-U', 'px', '-d', 'postgres', '-qAt'], { env });
      return new ClientSession(child, `\\echo ${endMark}`, async () => {
        await asUser([ctl, '-D', data, '-m', 'fast', '-w', 'stop']);
      });
    },
  };
}

/** PostgreSQL where it is installed with a user to run as, else SQLite. */
export async function findDatabase(): Promise<Database | undefined> {
  const versions = await readdir('/usr/lib/postgresql').catch(() => [] as string[]);
  const user = await tryRun('id', ['-u', 'postgres'], { timeoutMs: 5000 });
  const newest = versions.sort((a, b) => Number(a) - Number(b)).at(-1);
  if (newest !== undefined && user.code === 0 && process.getuid?.() === 0) {
    return postgres(`/usr/lib/postgresql/${newest}/bin`, Number(user.stdout.trim()));
  }
  const found = await tryRun('sqlite3', ['--version'], { timeoutMs: 5000 }).catch(() => undefined);
  return found?.code === 0 ? sqlite : undefined;
}

/** Commits numbered records until it is stopped, and remembers the last acknowledged one. */
export class RecordWriter {
  acknowledged = 0;
  private stopping = false;
  private readonly session: Session;
  private loop: Promise<void> = Promise.resolve();
  /** Why it ended, when it wasn't asked to. */
  failure: Error | undefined;
  /** The longest time that a commit took. */
  longestCommitMs = 0;

  constructor(session: Session) {
    this.session = session;
  }

  async start(): Promise<void> {
    await this.session.execute(
      'CREATE TABLE IF NOT EXISTS record (id INTEGER PRIMARY KEY, content TEXT);',
    );
    this.loop = this.write();
  }

  private async write(): Promise<void> {
    try {
      while (!this.stopping) {
        const id = this.acknowledged + 1;
        const started = performance.now();
        await this.session.execute(`INSERT INTO record VALUES (${id}, '${contentOf(id)}');`);
        this.longestCommitMs = Math.max(this.longestCommitMs, performance.now() - started);
        this.acknowledged = id;
      }
    } catch (error) {
      this.failure = error as Error;
    }
  }

  /** Stops after the record in flight; throws if the database failed before. */
  async stop(): Promise<number> {
    this.stopping = true;
    await this.loop;
    if (this.failure !== undefined) throw this.failure;
    return this.acknowledged;
  }

  /** For a node that was killed: the failure is what was meant to happen. */
  async abandoned(): Promise<number> {
    this.stopping = true;
    await this.loop;
    return this.acknowledged;
  }
}

function contentOf(id: number): string {
  return `record ${id} `.repeat(20);
}

/** Read in parts, so that a long run doesn't have to fit in one answer. */
const recordsAtOnce = 5000;

/** Every acknowledged record must be there and whole. Returns how many are there. */
export async function checkRecords(session: Session, acknowledged: number): Promise<number> {
  let count = 0;
  for (;;) {
    const range = `id > ${count} AND id <= ${count + recordsAtOnce}`;
    const lines = await session.execute(
      `SELECT id, content FROM record WHERE ${range} ORDER BY id;`,
    );
    for (const line of lines) {
      count += 1;
      if (line !== `${count}|${contentOf(count)}`) {
        throw new Error(`record ${count} is not what was written`);
      }
    }
    if (lines.length < recordsAtOnce) break;
  }
  // One more than acknowledged may be there: it was committed, and the answer was lost.
  if (count < acknowledged) {
    throw new Error(`${acknowledged} records were acknowledged, ${count} are there`);
  }
  return count;
}
