import type { SocketAddress } from '../../sys/sockets.js';

/** A link's first line to the relay: which node it wants, and where that listens. */
export interface Preface {
  readonly nodeId: string;
  readonly address: SocketAddress;
}

/** More without a line's end is no preface. */
export const maxPrefaceBytes = 1024;

export function encodePreface({ nodeId, address }: Preface): Buffer {
  const { host, port } = address;
  return Buffer.from(`${JSON.stringify({ nodeId, host, port })}\n`);
}

/** Undefined for what is none. */
export function decodePreface(line: string): Preface | undefined {
  try {
    const { nodeId, host, port } = JSON.parse(line) as Record<string, unknown>;
    if (typeof nodeId !== 'string' || typeof host !== 'string') return undefined;
    if (!Number.isInteger(port) || (port as number) < 1 || (port as number) > 65_535) {
      return undefined;
    }
    return { nodeId, address: { host, port: port as number } };
  } catch {
    return undefined;
  }
}
