import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { silentLogger } from '../../../platform/logger.js';
import { delay } from '../../../platform/monotonic.js';
import { TestAuthority } from '../../../platform/testing-certificates.js';
import { readTlsFiles, type TlsFiles } from '../../../platform/tls-files.js';
import { freePort } from '../../../platform/testing-ports.js';
import { encodePreface } from './preface.js';
import { defaultBounds } from './settings.js';
import { TlsRelay } from './tls-relay.js';

jest.setTimeout(30_000);

interface Side {
  readonly relay: TlsRelay;
  readonly port: number;
  readonly relayPath: string;
  readonly warnings: string[];
  readonly tls: TlsFiles;
  /** Connections that reached the engine of this side. */
  readonly arrived: Socket[];
  readonly engine: Server;
}

let directory: string;
let ours: TestAuthority;
let theirs: TestAuthority;
const sides: Side[] = [];
const clients: Socket[] = [];

beforeAll(() => {
  directory = mkdtempSync('/tmp/px-tls-');
  ours = new TestAuthority(join(directory, 'ours'));
  theirs = new TestAuthority(join(directory, 'theirs'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));
afterEach(() => {
  for (const client of clients.splice(0)) client.destroy();
  for (const { relay, engine, arrived } of sides.splice(0)) {
    relay.close();
    engine.close();
    for (const socket of arrived) socket.destroy();
  }
});

const at = (name: string): string => join(directory, name);

async function startSide(name: string, tls: TlsFiles): Promise<Side> {
  const port = await freePort();
  const arrived: Socket[] = [];
  const engine = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    socket.on('error', () => undefined);
    arrived.push(socket);
    engine.emit('arrived', socket);
  });
  const [enginePath, relayPath] = ['data', 'tls'].map((kind) =>
    join(directory, `${name}-${kind}-${port}.sock`),
  );
  engine.listen(enginePath);
  await once(engine, 'listening');
  const warnings: string[] = [];
  const log = {
    ...silentLogger,
    warn: (_: string, fields = {}) => void warnings.push(JSON.stringify(fields)),
  };
  const dataAddress = { host: '127.0.0.1', port };
  const ids = { clusterId: 'c', nodeId: name };
  const relay = new TlsRelay(
    { ...ids, dataAddress, enginePath, relayPath, tls, bounds: defaultBounds },
    log,
  );
  await relay.start();
  const side = { relay, port, relayPath, warnings, tls, arrived, engine };
  sides.push(side);
  return side;
}

/** A link of `from` to the engine of the node on `port`. */
function link(from: Side, port: number): Socket {
  const socket = connect({ path: from.relayPath, allowHalfOpen: true });
  clients.push(socket);
  socket.on('error', () => undefined);
  socket.write(encodePreface({ nodeId: 'b', address: { host: '127.0.0.1', port } }));
  return socket;
}

async function arrival(side: Side): Promise<Socket> {
  if (side.arrived.length === 0) await once(side.engine, 'arrived');
  return side.arrived.shift() as Socket;
}

/** Not by iterating, which would destroy the socket at the end of its first half. */
async function readAll(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => void chunks.push(chunk));
  socket.resume();
  await once(socket, 'end');
  return Buffer.concat(chunks);
}

/** The JSON of a refusal frame: 64 bytes of header, 8 of lengths. */
async function refusalOf(socket: Socket): Promise<unknown> {
  socket.write('a hello');
  const frame = await readAll(socket);
  expect(frame.length).toBeGreaterThan(72);
  return JSON.parse(frame.toString('utf8', 72, 72 + frame.readUInt32LE(64)));
}

function unreachable(message: RegExp): object {
  const text = expect.stringMatching(message) as unknown;
  const reply = { ok: false, code: 'unreachable', epoch: 0, message: text };
  return { clusterId: 'c', nodeId: 'b', reply };
}

describe('a TLS relay', () => {
  it('carries every byte both ways, and an end as an end', async () => {
    const [a, b] = [await startSide('a', ours.issue('a')), await startSide('b', ours.issue('b'))];
    const client = link(a, b.port);
    const [asked, answered] = [randomBytes(8 << 20), randomBytes(5 << 20)];
    client.end(asked);
    const engine = await arrival(b);
    expect((await readAll(engine)).equals(asked)).toBe(true);
    // The client has ended its side and still hears.
    engine.end(answered);
    expect((await readAll(client)).equals(answered)).toBe(true);
  });

  it('lets the sender wait while nobody reads', async () => {
    const [a, b] = [await startSide('a', ours.issue('a')), await startSide('b', ours.issue('b'))];
    const client = link(a, b.port);
    const prefaceBytes = client.bytesWritten;
    const chunk = randomBytes(1 << 20);
    client.write(chunk);
    const engine = await arrival(b);
    // Until no byte more has left for half a second: the buffers on the way are full.
    let last = -1;
    while (last !== client.bytesWritten - client.writableLength) {
      last = client.bytesWritten - client.writableLength;
      while (client.writableLength < 64 << 20) client.write(chunk);
      await delay(500);
    }
    expect(last).toBeLessThan(32 << 20);
    const expected = client.bytesWritten - prefaceBytes;
    client.end();
    expect((await readAll(engine)).length).toBe(expected);
  });

  it('passes a break on in both directions', async () => {
    const [a, b] = [await startSide('a', ours.issue('a')), await startSide('b', ours.issue('b'))];
    const first = link(a, b.port);
    first.write('x');
    const engine = await arrival(b);
    engine.write('y');
    await once(first, 'data');
    engine.destroy();
    await once(first.resume(), 'end');
    const second = link(a, b.port);
    second.write('x');
    const other = await arrival(b);
    other.resume();
    second.destroy();
    await once(other, 'end');
    expect(b.arrived).toEqual([]);
  });

  it("says why when the peer's authority is another, whoever finds out", async () => {
    const b = await startSide('b', theirs.issue('b'));
    const a = await startSide('a', ours.issue('a'));
    const wrong = unreachable(/^TLS to 127.0.0.1:\d+: the peer's certificate is refused: /);
    expect(await refusalOf(link(a, b.port))).toEqual(wrong);
    // This one believes the peer, but has a certificate that the peer does not believe.
    const half = await startSide('h', { ...ours.issue('h'), caFile: theirs.caFile });
    const refused = unreachable(/^the certificate is refused by b: /);
    expect(await refusalOf(link(half, b.port))).toEqual(refused);
    expect(b.arrived).toEqual([]);
    expect(b.warnings.join()).toMatch(/the certificate is refused by b/);
  });

  it('lets in nobody without TLS or without a certificate', async () => {
    const b = await startSide('b', ours.issue('b'));
    const plain = connect(b.port, '127.0.0.1');
    clients.push(plain);
    plain.write(randomBytes(4096));
    await once(
      plain.on('error', () => undefined),
      'close',
    );
    const naked = connectTls({ port: b.port, host: '127.0.0.1', rejectUnauthorized: false });
    clients.push(naked);
    naked.write(randomBytes(4096));
    expect((await readAll(naked)).toString()).toMatch(/the certificate is refused by b/);
    const old = connectTls({
      ...{ port: b.port, host: '127.0.0.1', rejectUnauthorized: false, maxVersion: 'TLSv1.2' },
    });
    await expect(once(old, 'secureConnect')).rejects.toThrow(/protocol version/);
    expect(b.arrived).toEqual([]);
    expect(b.warnings.length).toBeGreaterThan(1);
  });

  it('says that nobody listens', async () => {
    const a = await startSide('a', ours.issue('a'));
    const message = unreachable(/ECONNREFUSED/);
    expect(await refusalOf(link(a, await freePort()))).toEqual(message);
  });

  it('uses new files for new connections, and the last good ones when they are bad', async () => {
    const names = ['certFile', 'keyFile', 'caFile'] as const;
    const tls = { certFile: at('live.crt'), keyFile: at('live.key'), caFile: at('live-ca.crt') };
    const install = (files: TlsFiles): void => {
      for (const name of names) copyFileSync(files[name], tls[name]);
    };
    install(ours.issue('b'));
    const b = await startSide('b', tls);
    const a = await startSide('a', ours.issue('a'));
    const early = link(a, b.port);
    early.write('x');
    const engine = await arrival(b);
    install(theirs.issue('b'));
    const refused = unreachable(/the peer's certificate is refused/);
    expect(await refusalOf(link(a, b.port))).toEqual(refused);
    // Connections of before go on.
    engine.write('still here');
    expect(String((await once(early, 'data'))[0])).toBe('still here');
    install(ours.issue('b2'));
    link(a, b.port).write('x');
    await arrival(b);
    writeFileSync(tls.certFile, 'half a file');
    link(a, b.port).write('x');
    await arrival(b);
    expect(b.warnings.join()).toMatch(/tls.certFile: .*live.crt cannot be used/);
  });
});

describe('readTlsFiles', () => {
  it.each(['certFile', 'keyFile', 'caFile'] as const)('names %s when it is bad', (field) => {
    const files = ours.issue('good');
    expect(readTlsFiles(files).cert.length).toBeGreaterThan(0);
    const missing = { ...files, [field]: at('nowhere') };
    expect(() => readTlsFiles(missing)).toThrow(`tls.${field}: ${at('nowhere')} cannot be read`);
    writeFileSync(at('junk'), 'junk');
    const junk = { ...files, [field]: at('junk') };
    expect(() => readTlsFiles(junk)).toThrow(`tls.${field}: ${at('junk')} cannot be used`);
  });

  it("refuses another certificate's key", () => {
    const files = { ...ours.issue('one'), keyFile: ours.issue('two').keyFile };
    expect(() => readTlsFiles(files)).toThrow(/^tls.keyFile: .* cannot be used: .*mismatch/);
  });
});
