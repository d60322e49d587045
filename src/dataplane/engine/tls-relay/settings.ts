import { join } from 'node:path';
import type { TlsFiles } from '../../../platform/tls-files.js';
import type { SocketAddress } from '../../sys/sockets.js';

/** What the relay process is told by the engine when it starts. */
export interface TlsRelaySettings {
  readonly clusterId: string;
  readonly nodeId: string;
  /** Where other nodes' relays reach this one. */
  readonly dataAddress: SocketAddress;
  /** The engine's own listener. */
  readonly enginePath: string;
  /** Where the engine's links ask for connections to other nodes. */
  readonly relayPath: string;
  readonly tls: TlsFiles;
  readonly bounds: TlsRelayBounds;
}

export interface TlsRelayBounds {
  /** From the first packet to the end of the handshake. */
  readonly connectTimeoutMs: number;
  /** A peer that takes nothing for so long is gone. */
  readonly stallTimeoutMs: number;
  /** What one direction of a connection may hold at most before its source has to wait. */
  readonly bufferBytes: number;
  /** Strangers can hold no more than this many connections open. */
  readonly maxHandshakes: number;
}

export const defaultBounds: TlsRelayBounds = {
  // Within the 4 s in which a link expects an answer, so that it learns the reason.
  connectTimeoutMs: 3_000,
  // As on the engine's own connections.
  stallTimeoutMs: 15_000,
  bufferBytes: 512 * 1024,
  maxHandshakes: 64,
};

export function enginePathOf(runDir: string): string {
  return join(runDir, 'data.sock');
}

export function relayPathOf(runDir: string): string {
  return join(runDir, 'tls.sock');
}
