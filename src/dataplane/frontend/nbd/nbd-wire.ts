import { Errno } from '../../sys/libc.js';

/**
 * The NBD protocol: fixed newstyle negotiation, simple and structured replies.
 * Source of every number: doc/proto.md of the NetworkBlockDevice project.
 * Everything is big-endian.
 */
export const Magic = {
  /** "NBDMAGIC" and "IHAVEOPT". */
  initial: 0x4e42444d41474943n,
  option: 0x49484156454f5054n,
  optionReply: 0x0003e889045565a9n,
  request: 0x25609513,
  simpleReply: 0x67446698,
  structuredReply: 0x668e33ef,
} as const;

export const HandshakeFlag = { FIXED_NEWSTYLE: 1, NO_ZEROES: 2 } as const;

export const Option = {
  EXPORT_NAME: 1,
  ABORT: 2,
  LIST: 3,
  INFO: 6,
  GO: 7,
  STRUCTURED_REPLY: 8,
} as const;

export const OptionReply = {
  ACK: 1,
  SERVER: 2,
  INFO: 3,
  UNSUPPORTED: 0x80000001,
  INVALID: 0x80000003,
  UNKNOWN_EXPORT: 0x80000006,
} as const;

export const Info = { EXPORT: 0, BLOCK_SIZE: 3 } as const;

export const TransmissionFlag = {
  HAS_FLAGS: 1,
  READ_ONLY: 2,
  SEND_FLUSH: 4,
  SEND_FUA: 8,
  SEND_TRIM: 32,
  SEND_WRITE_ZEROES: 64,
  /** All connections end in one coordinator: a flush on one covers writes on all. */
  CAN_MULTI_CONN: 256,
} as const;

export const Command = {
  READ: 0,
  WRITE: 1,
  DISCONNECT: 2,
  FLUSH: 3,
  TRIM: 4,
  WRITE_ZEROES: 6,
} as const;

export const CommandFlag = { FUA: 1 } as const;

export const ChunkFlag = { DONE: 1 } as const;
export const ChunkType = { OFFSET_DATA: 1, ERROR: 0x8001 } as const;

export const requestBytes = 28;
export const simpleReplyBytes = 16;
/** A structured chunk's header, then the offset that a data chunk begins with. */
export const dataChunkBytes = 20 + 8;
/** A structured chunk's header, then error number and the length of no message. */
export const errorChunkBytes = 20 + 6;

/** The protocol knows few error numbers; the others become EIO. */
export function wireError(status: number): number {
  switch (status) {
    case 0:
    case Errno.EPERM:
    case Errno.EIO:
    case Errno.ENOMEM:
    case Errno.EINVAL:
    case Errno.ENOSPC:
    case Errno.EOPNOTSUPP:
      return status;
    case Errno.EROFS:
      return Errno.EPERM;
    default:
      return Errno.EIO;
  }
}
