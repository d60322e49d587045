import type { ControlMessage, ControlReply, Hello, HelloReply } from '../protocol/messages.js';
import { maxBodyBytes } from './frame.js';

/**
 * Bodies of the rare messages: a JSON object and a run of bytes.
 *
 *   u32 JSON bytes, u32 binary bytes, JSON (padded to 8), binary (padded to 8)
 *
 * Decoding answers `null` for whatever is not exactly a message: the
 * connection then ends, since nothing that follows can be trusted.
 */
export interface HelloReplyFrame {
  /** Who answers: with `Hello` this makes both sides sure of the other. */
  readonly clusterId: string;
  readonly nodeId: string;
  readonly reply: HelloReply;
}

const noBytes = new Uint8Array(0);

function padded(bytes: number): number {
  return (bytes + 7) & ~7;
}

function encodeBody(json: object, binary: Uint8Array): Uint8Array {
  const text = Buffer.from(JSON.stringify(json));
  const body = Buffer.alloc(8 + padded(text.length) + padded(binary.length));
  body.writeUInt32LE(text.length, 0);
  body.writeUInt32LE(binary.length, 4);
  body.set(text, 8);
  body.set(binary, 8 + padded(text.length));
  return body;
}

type Fields = Readonly<Record<string, unknown>>;

function decodeBody(bytes: Uint8Array): { fields: Fields; binary: Uint8Array } | null {
  if (bytes.length < 8 || bytes.length > maxBodyBytes) return null;
  const body = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const textBytes = body.readUInt32LE(0);
  const binaryBytes = body.readUInt32LE(4);
  if (textBytes > bytes.length || binaryBytes > bytes.length) return null;
  if (8 + padded(textBytes) + padded(binaryBytes) !== bytes.length) return null;
  try {
    const fields: unknown = JSON.parse(body.toString('utf8', 8, 8 + textBytes));
    if (typeof fields !== 'object' || fields === null || Array.isArray(fields)) return null;
    const start = 8 + padded(textBytes);
    // A copy: the receive buffer is used again at once.
    return { fields: fields as Fields, binary: bytes.slice(start, start + binaryBytes) };
  } catch {
    return null;
  }
}

export function encodeHello(hello: Hello): Uint8Array {
  return encodeBody(hello, noBytes);
}

export function decodeHello(bytes: Uint8Array): Hello | null {
  const body = decodeBody(bytes);
  if (body === null) return null;
  const { clusterId, volumeId, replicaId, epoch, token, leaseMs, previousOwnerDead } = body.fields;
  if (!isText(clusterId) || !isText(volumeId) || !isText(replicaId) || !isText(token)) return null;
  if (!isCount(epoch) || !isCount(leaseMs) || typeof previousOwnerDead !== 'boolean') return null;
  return { clusterId, volumeId, replicaId, epoch, token, leaseMs, previousOwnerDead };
}

export function encodeHelloReply(frame: HelloReplyFrame): Uint8Array {
  const { clusterId, nodeId, reply } = frame;
  if (!reply.ok) return encodeBody({ clusterId, nodeId, reply }, noBytes);
  return encodeBody({ clusterId, nodeId, reply: { ...reply, marks: undefined } }, reply.marks);
}

const refusalCodes: readonly string[] = [
  'fenced',
  'wrong_cluster',
  'wrong_volume',
  'unknown_replica',
  'store_failed',
  'unreachable',
];

export function decodeHelloReply(bytes: Uint8Array): HelloReplyFrame | null {
  const body = decodeBody(bytes);
  if (body === null) return null;
  const { clusterId, nodeId, reply } = body.fields;
  if (!isText(clusterId) || !isText(nodeId) || !isFields(reply)) return null;
  if (reply['ok'] === false) {
    const { code, message, epoch } = reply;
    if (!isText(code) || !refusalCodes.includes(code)) return null;
    if (!isText(message) || !isCount(epoch)) return null;
    const refusal = code as Extract<HelloReply, { ok: false }>['code'];
    return { clusterId, nodeId, reply: { ok: false, code: refusal, message, epoch } };
  }
  const { lossy, blank, ringIntact, ring, leaseRemainingMs, sizeBytes } = reply;
  if (reply['ok'] !== true || typeof lossy !== 'boolean' || typeof blank !== 'boolean') return null;
  if (typeof ringIntact !== 'boolean' || !isCounts(ring)) return null;
  if (!isDuration(leaseRemainingMs) || !isCount(sizeBytes)) return null;
  return {
    clusterId,
    nodeId,
    reply: {
      ok: true,
      lossy,
      blank,
      ringIntact,
      ring,
      leaseRemainingMs,
      sizeBytes,
      marks: body.binary,
    },
  };
}

export function encodeControl(message: ControlMessage): Uint8Array {
  switch (message.type) {
    case 'clear_marks':
      return encodeBody({ type: message.type }, message.chunks);
    case 'admit':
      return encodeBody({ type: message.type }, message.marks);
    default:
      return encodeBody(message, noBytes);
  }
}

export function decodeControl(bytes: Uint8Array): ControlMessage | null {
  const body = decodeBody(bytes);
  if (body === null) return null;
  const fields = body.fields;
  switch (fields['type']) {
    case 'heartbeat':
      return isCount(fields['completedSeq'])
        ? { type: 'heartbeat', completedSeq: fields['completedSeq'] }
        : null;
    case 'hash':
      return isCount(fields['offset']) && isCount(fields['length'])
        ? { type: 'hash', offset: fields['offset'], length: fields['length'] }
        : null;
    case 'clear_marks':
      return { type: 'clear_marks', chunks: body.binary };
    case 'admit':
      return { type: 'admit', marks: body.binary };
    case 'resize':
      return isCount(fields['sizeBytes'])
        ? { type: 'resize', sizeBytes: fields['sizeBytes'] }
        : null;
    case 'copy_to':
      return isText(fields['targetVolumeId']) && isText(fields['targetReplicaId'])
        ? {
            type: 'copy_to',
            targetVolumeId: fields['targetVolumeId'],
            targetReplicaId: fields['targetReplicaId'],
          }
        : null;
    case 'copy_from':
      return isText(fields['sourceVolumeId'])
        ? { type: 'copy_from', sourceVolumeId: fields['sourceVolumeId'] }
        : null;
    case 'bye':
      return { type: 'bye' };
    default:
      return null;
  }
}

export function encodeControlReply(reply: ControlReply): Uint8Array {
  return encodeBody(
    { status: reply.status, digests: reply.digests !== undefined },
    reply.digests ?? noBytes,
  );
}

export function decodeControlReply(bytes: Uint8Array): ControlReply | null {
  const body = decodeBody(bytes);
  if (body === null || !isCount(body.fields['status'])) return null;
  const status = body.fields['status'];
  return body.fields['digests'] === true ? { status, digests: body.binary } : { status };
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}
function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null;
}
function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
function isCounts(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every(isCount);
}
function isDuration(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}
