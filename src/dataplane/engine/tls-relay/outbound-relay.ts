import { chmodSync } from 'node:fs';
import { createServer, type Server, type Socket, type SocketConstructorOpts } from 'node:net';
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { toPxError } from '../../../kernel/errors.js';
import type { Logger } from '../../../platform/logger.js';
import { removeStaleSocket } from '../../../platform/stale-socket.js';
import type { TlsFileWatch } from '../../../platform/tls-files.js';
import { joinSockets } from './join-sockets.js';
import { decodePreface, maxPrefaceBytes, type Preface } from './preface.js';
import { refusalFrame } from './refusal.js';
import type { TlsRelaySettings } from './settings.js';
import { tlsReason } from './tls-reasons.js';

export interface RelayDeps {
  readonly settings: TlsRelaySettings;
  readonly files: TlsFileWatch;
  readonly log: Logger;
}

/** Listens for the engine's links on a unix socket, and makes their connections to other nodes. */
export class OutboundRelay {
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();
  /** The last reason a node, so that a link that tries each second does not fill the log. */
  private readonly lastReason = new Map<string, string>();

  constructor(private readonly deps: RelayDeps) {
    const highWaterMark = deps.settings.bounds.bufferBytes;
    this.server = createServer({ allowHalfOpen: true, highWaterMark }, (local) => {
      this.keep(local);
      this.greet(local);
    });
  }

  async listen(): Promise<void> {
    const { relayPath } = this.deps.settings;
    await removeStaleSocket(relayPath);
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen(relayPath, resolve);
    });
    chmodSync(relayPath, 0o600);
  }

  close(): void {
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
  }

  private keep(socket: Socket): void {
    this.sockets.add(socket);
    // Without a handler an error would end the process; the close that follows does the work.
    socket.on('error', () => undefined);
    socket.on('close', () => this.sockets.delete(socket));
  }

  /** Reads the preface; what follows it stays in the socket until the peer is reached. */
  private greet(local: Socket): void {
    let received = Buffer.alloc(0);
    const late = setTimeout(() => local.destroy(), this.deps.settings.bounds.connectTimeoutMs);
    local.once('close', () => clearTimeout(late));
    const onData = (chunk: Buffer): void => {
      received = Buffer.concat([received, chunk]);
      const end = received.indexOf(0x0a);
      if (end < 0 && received.length <= maxPrefaceBytes) return;
      clearTimeout(late);
      local.off('data', onData);
      local.pause();
      const preface = end < 0 ? undefined : decodePreface(received.toString('utf8', 0, end));
      if (preface === undefined) {
        local.destroy();
        return;
      }
      if (received.length > end + 1) local.unshift(received.subarray(end + 1));
      this.reach(local, preface);
    };
    local.on('data', onData);
  }

  private reach(local: Socket, preface: Preface): void {
    let remote: TLSSocket;
    try {
      remote = this.connect(preface);
    } catch (error) {
      this.refuse(local, preface, toPxError(error).message);
      return;
    }
    this.keep(remote);
    const { connectTimeoutMs, stallTimeoutMs } = this.deps.settings.bounds;
    let failure = '';
    remote.on('error', (error: Error) => (failure ||= tlsReason(error)));
    const late = setTimeout(() => {
      failure ||= `no connection within ${connectTimeoutMs} ms`;
      remote.destroy();
    }, connectTimeoutMs);
    const onClose = (): void => {
      clearTimeout(late);
      this.refuse(local, preface, failure || 'the peer closed the connection');
    };
    remote.once('close', onClose);
    remote.once('secureConnect', () => {
      clearTimeout(late);
      remote.off('close', onClose);
      remote.setNoDelay(true);
      remote.setKeepAlive(true, 5_000);
      // A TLS 1.3 server checks our certificate after we have finished, so it may still refuse.
      const onSilent = (reason: string): void => this.refuse(local, preface, failure || reason);
      joinSockets(local, remote, { stallTimeoutMs, onSilent });
      remote.once('data', () => this.lastReason.delete(preface.nodeId));
    });
  }

  private connect({ address }: Preface): TLSSocket {
    const { cert, key, ca } = this.deps.files.current();
    // Node takes a high-water mark for each socket; its types do not say so.
    const options: ConnectionOptions & SocketConstructorOpts & { highWaterMark: number } = {
      ...{ host: address.host, port: address.port, cert, key, ca },
      minVersion: 'TLSv1.3',
      rejectUnauthorized: true,
      // Being of the cluster is what the authority certifies; which node it is says the HELLO.
      checkServerIdentity: () => undefined,
      allowHalfOpen: true,
      highWaterMark: this.deps.settings.bounds.bufferBytes,
    };
    return connectTls(options);
  }

  /** Answers the link in the peer's place, with the reason. */
  private refuse(local: Socket, { nodeId, address }: Preface, reason: string): void {
    const message = `TLS to ${address.host}:${address.port}: ${reason}`;
    if (this.lastReason.get(nodeId) !== message) {
      this.lastReason.set(nodeId, message);
      this.deps.log.warn('a node cannot be reached', { node: nodeId, reason: message });
    }
    if (local.destroyed) return;
    local.end(refusalFrame(this.deps.settings.clusterId, nodeId, message));
    // What the link has sent for the peer is nobody's; unread it would break the answer off.
    local.resume();
    const late = setTimeout(() => local.destroy(), this.deps.settings.bounds.connectTimeoutMs);
    local.once('close', () => clearTimeout(late));
  }
}
