import { constants } from 'node:crypto';
import { Socket } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import { joinSockets } from './join-sockets.js';
import type { RelayDeps } from './outbound-relay.js';
import { refusalFrame } from './refusal.js';
import { tlsReason } from './tls-reasons.js';

/** One complaint about an address within this time is enough. */
const complaintGapMs = 10_000;

/** Listens on the data port, and carries what comes with a good certificate to the engine. */
export class InboundRelay {
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();
  private readonly complaints = new Map<string, number>();
  private lastCert: Buffer;
  private welcomed = 0;

  /** Throws when the files cannot be used. */
  constructor(private readonly deps: RelayDeps) {
    const { bounds } = deps.settings;
    const context = this.context();
    this.lastCert = context.cert;
    this.server = createServer({
      ...context,
      requestCert: true,
      // It is checked in `welcome`, since Node would only hang up and nobody would know why.
      rejectUnauthorized: false,
      handshakeTimeout: bounds.connectTimeoutMs,
      allowHalfOpen: true,
      highWaterMark: bounds.bufferBytes,
    });
    this.limit();
    // Before Node's own listener, so that this very handshake uses the new files.
    this.server.prependListener('connection', () => this.refresh());
    this.server.on('secureConnection', (remote) => this.welcome(remote));
    this.server.on('tlsClientError', (error, remote) => {
      this.complain(remote.remoteAddress, tlsReason(error));
      remote.destroy();
    });
  }

  listen(): Promise<void> {
    const { host, port } = this.deps.settings.dataAddress;
    return new Promise((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen(port, host, resolve);
    });
  }

  close(): void {
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
  }

  private context() {
    const { cert, key, ca } = this.deps.files.current();
    // No session is resumed: each connection shows a certificate that is good now.
    const secureOptions = constants.SSL_OP_NO_TICKET;
    return { cert, key, ca, minVersion: 'TLSv1.3', secureOptions } as const;
  }

  private refresh(): void {
    const context = this.context();
    if (context.cert === this.lastCert) return;
    this.lastCert = context.cert;
    this.server.setSecureContext(context);
  }

  private welcome(remote: TLSSocket): void {
    const { settings } = this.deps;
    this.keep(remote);
    if (!remote.authorized) {
      const reason = `the certificate is refused by ${settings.nodeId}: ${String(remote.authorizationError)}`;
      this.complain(remote.remoteAddress, reason);
      this.refuse(remote, reason);
      return;
    }
    this.welcomed++;
    this.limit();
    remote.once('close', () => {
      this.welcomed--;
      this.limit();
    });
    remote.setNoDelay(true);
    remote.setKeepAlive(true, 5_000);
    const local = new Socket({
      allowHalfOpen: true,
      highWaterMark: settings.bounds.bufferBytes,
    } as ConstructorParameters<typeof Socket>[0]);
    this.keep(local);
    local.connect(settings.enginePath);
    joinSockets(remote, local, {
      stallTimeoutMs: settings.bounds.stallTimeoutMs,
      onSilent: (reason) => {
        // The engine hangs up on what is no HELLO; the asker sees the same.
        this.complain(remote.remoteAddress, `the engine gave no answer: ${reason}`);
        remote.destroy();
      },
    });
  }

  /** Those that were let in do not count. */
  private limit(): void {
    this.server.maxConnections = this.deps.settings.bounds.maxHandshakes + this.welcomed;
  }

  private keep(socket: Socket): void {
    this.sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => this.sockets.delete(socket));
  }

  private refuse(remote: TLSSocket, reason: string): void {
    const { clusterId, nodeId, bounds } = this.deps.settings;
    remote.end(refusalFrame(clusterId, nodeId, reason));
    // What a stranger sends is thrown away, never looked at.
    remote.resume();
    const late = setTimeout(() => remote.destroy(), bounds.connectTimeoutMs);
    remote.once('close', () => clearTimeout(late));
  }

  private complain(address: string | undefined, reason: string): void {
    const now = performance.now();
    const key = `${address} ${reason}`;
    const last = this.complaints.get(key);
    if (last !== undefined && now - last < complaintGapMs) return;
    if (this.complaints.size >= 100) this.complaints.clear();
    this.complaints.set(key, now);
    this.deps.log.warn('a connection was refused', { address, reason });
  }
}
