import { maxIoBytes } from '../../protocol/ops.js';
import type { NbdExport, NbdExports } from './nbd-export.js';
import * as wire from './nbd-wire.js';
import { HandshakeFlag, Option, OptionReply, TransmissionFlag } from './nbd-wire.js';

/** A client has no reason to send a longer option; names are at most 4096 bytes. */
const maxOptionBytes = 8192;
const optionHeaderBytes = 16;

export interface NegotiationStep {
  /** Bytes of the input that were used; what follows belongs to the next step. */
  readonly used: number;
  readonly reply: Buffer;
  readonly outcome: 'more' | 'serve' | 'close';
}

/** The conversation before the first request: pure, bytes in and bytes out. */
export class Negotiation {
  structuredReplies = false;
  chosen: NbdExport | undefined;
  private readonly exports: NbdExports;
  private clientFlags: number | undefined;

  constructor(exports: NbdExports) {
    this.exports = exports;
  }

  greeting(): Buffer {
    const greeting = Buffer.alloc(18);
    greeting.writeBigUInt64BE(wire.Magic.initial, 0);
    greeting.writeBigUInt64BE(wire.Magic.option, 8);
    greeting.writeUInt16BE(HandshakeFlag.FIXED_NEWSTYLE | HandshakeFlag.NO_ZEROES, 16);
    return greeting;
  }

  /** Takes one message from the start of `input`, if a whole one is there. */
  step(input: Buffer): NegotiationStep {
    if (this.clientFlags === undefined) {
      if (input.length < 4) return more(0);
      const flags = input.readUInt32BE(0);
      const known = HandshakeFlag.FIXED_NEWSTYLE | HandshakeFlag.NO_ZEROES;
      // The protocol asks to end the session on a flag that we did not offer.
      if ((flags & ~known) !== 0) return close(4);
      this.clientFlags = flags;
      return more(4);
    }
    if (input.length < optionHeaderBytes) return more(0);
    const length = input.readUInt32BE(12);
    if (input.readBigUInt64BE(0) !== wire.Magic.option || length > maxOptionBytes) {
      return close(input.length);
    }
    const used = optionHeaderBytes + length;
    if (input.length < used) return more(0);
    const option = input.readUInt32BE(8);
    return { used, ...this.answer(option, input.subarray(optionHeaderBytes, used)) };
  }

  private answer(option: number, data: Buffer): Omit<NegotiationStep, 'used'> {
    switch (option) {
      case Option.EXPORT_NAME:
        return this.exportName(data);
      case Option.ABORT:
        return { reply: optionReply(option, OptionReply.ACK), outcome: 'close' };
      case Option.LIST:
        return { reply: this.list(option, data), outcome: 'more' };
      case Option.STRUCTURED_REPLY:
        if (data.length > 0) return invalid(option);
        this.structuredReplies = true;
        return { reply: optionReply(option, OptionReply.ACK), outcome: 'more' };
      case Option.INFO:
      case Option.GO:
        return this.infoOrGo(option, data);
      default:
        return { reply: optionReply(option, OptionReply.UNSUPPORTED), outcome: 'more' };
    }
  }

  /** The old way in: it knows no error but the end of the connection. */
  private exportName(name: Buffer): Omit<NegotiationStep, 'used'> {
    this.chosen = this.exports.find(name.toString('utf8'));
    if (this.chosen === undefined) return { reply: Buffer.alloc(0), outcome: 'close' };
    const zeroes = ((this.clientFlags ?? 0) & HandshakeFlag.NO_ZEROES) !== 0 ? 0 : 124;
    const reply = Buffer.alloc(10 + zeroes);
    reply.writeBigUInt64BE(BigInt(this.chosen.sizeBytes), 0);
    reply.writeUInt16BE(transmissionFlags(this.chosen), 8);
    return { reply, outcome: 'serve' };
  }

  private list(option: number, data: Buffer): Buffer {
    if (data.length > 0) return optionReply(option, OptionReply.INVALID);
    const names = this.exports.names().map((name) => {
      const encoded = Buffer.from(name, 'utf8');
      const length = Buffer.alloc(4);
      length.writeUInt32BE(encoded.length, 0);
      return optionReply(option, OptionReply.SERVER, Buffer.concat([length, encoded]));
    });
    return Buffer.concat([...names, optionReply(option, OptionReply.ACK)]);
  }

  private infoOrGo(option: number, data: Buffer): Omit<NegotiationStep, 'used'> {
    if (data.length < 6) return invalid(option);
    const nameLength = data.readUInt32BE(0);
    if (nameLength > data.length - 6) return invalid(option);
    const requests = data.readUInt16BE(4 + nameLength);
    if (data.length !== 6 + nameLength + requests * 2) return invalid(option);
    const found = this.exports.find(data.subarray(4, 4 + nameLength).toString('utf8'));
    if (found === undefined) {
      return { reply: optionReply(option, OptionReply.UNKNOWN_EXPORT), outcome: 'more' };
    }
    const reply = Buffer.concat([
      optionReply(option, OptionReply.INFO, exportInfo(found)),
      // Sent unasked: the limits hold for everybody.
      optionReply(option, OptionReply.INFO, blockSizeInfo(found)),
      optionReply(option, OptionReply.ACK),
    ]);
    if (option === Option.INFO) return { reply, outcome: 'more' };
    this.chosen = found;
    return { reply, outcome: 'serve' };
  }
}

function exportInfo(exported: NbdExport): Buffer {
  const info = Buffer.alloc(12);
  info.writeUInt16BE(wire.Info.EXPORT, 0);
  info.writeBigUInt64BE(BigInt(exported.sizeBytes), 2);
  info.writeUInt16BE(transmissionFlags(exported), 10);
  return info;
}

function blockSizeInfo(exported: NbdExport): Buffer {
  const info = Buffer.alloc(14);
  info.writeUInt16BE(wire.Info.BLOCK_SIZE, 0);
  info.writeUInt32BE(exported.blockSizeBytes, 2);
  info.writeUInt32BE(4096, 6);
  info.writeUInt32BE(maxIoBytes, 10);
  return info;
}

function transmissionFlags(exported: NbdExport): number {
  const always =
    TransmissionFlag.HAS_FLAGS | TransmissionFlag.SEND_FLUSH | TransmissionFlag.CAN_MULTI_CONN;
  if (exported.readOnly) return always | TransmissionFlag.READ_ONLY;
  const { SEND_FUA, SEND_TRIM, SEND_WRITE_ZEROES } = TransmissionFlag;
  return always | SEND_FUA | SEND_TRIM | SEND_WRITE_ZEROES;
}

function optionReply(option: number, type: number, data: Buffer = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(20);
  header.writeBigUInt64BE(wire.Magic.optionReply, 0);
  header.writeUInt32BE(option, 8);
  header.writeUInt32BE(type, 12);
  header.writeUInt32BE(data.length, 16);
  return Buffer.concat([header, data]);
}

function more(used: number): NegotiationStep {
  return { used, reply: Buffer.alloc(0), outcome: 'more' };
}

function close(used: number): NegotiationStep {
  return { used, reply: Buffer.alloc(0), outcome: 'close' };
}

function invalid(option: number): Omit<NegotiationStep, 'used'> {
  return { reply: optionReply(option, OptionReply.INVALID), outcome: 'more' };
}
