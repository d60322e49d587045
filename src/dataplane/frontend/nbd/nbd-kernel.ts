import { PxError } from '../../../kernel/errors.js';
import {
  attribute,
  findNetlinkFamily,
  nestedAttribute,
  netlinkRequest,
  uint32Attribute,
  uint64Attribute,
} from '../../sys/generic-netlink.js';

/**
 * The kernel's nbd driver, told over generic netlink: the kernel then holds the
 * socket itself, no process has to stay for a device, and a device whose
 * socket broke can be given another. Source: linux/nbd-netlink.h.
 */
const Command = { CONNECT: 1, DISCONNECT: 2, RECONFIGURE: 3 } as const;
const Attribute = {
  INDEX: 1,
  SIZE_BYTES: 2,
  BLOCK_SIZE_BYTES: 3,
  SERVER_FLAGS: 5,
  SOCKETS: 7,
  DEAD_CONN_TIMEOUT: 8,
  BACKEND_IDENTIFIER: 10,
} as const;
const SOCK_ITEM = 1;
const SOCK_FD = 1;

export interface NbdConnectOptions {
  readonly fd: number;
  readonly sizeBytes: number;
  readonly blockSizeBytes: number;
  /** Bits of `TransmissionFlag`. */
  readonly flags: number;
  readonly backend: string;
  /** How long requests wait for another socket when this one broke. */
  readonly deadConnectionSeconds: number;
}

export interface NbdKernel {
  /** Takes a free device, or makes one, and answers its number. */
  connect(options: NbdConnectOptions): Promise<number>;
  /** Another socket for a device whose own is dead; ENOSPC when it is not. */
  reconnect(index: number, backend: string, fd: number): Promise<void>;
  resize(index: number, backend: string, sizeBytes: number): Promise<void>;
  disconnect(index: number): Promise<void>;
}

/**
 * No NBD_ATTR_TIMEOUT is given: with one, the kernel breaks a connection whose
 * answer is late, and a volume that waits for a replica may be late.
 */
export const nbdKernel: NbdKernel = {
  async connect(options) {
    const { fd, sizeBytes, blockSizeBytes, flags, backend, deadConnectionSeconds } = options;
    const [answer] = await ask('connecting an nbd device', Command.CONNECT, [
      uint64Attribute(Attribute.SIZE_BYTES, sizeBytes),
      uint64Attribute(Attribute.BLOCK_SIZE_BYTES, blockSizeBytes),
      uint64Attribute(Attribute.SERVER_FLAGS, flags),
      uint64Attribute(Attribute.DEAD_CONN_TIMEOUT, deadConnectionSeconds),
      backendAttribute(backend),
      socketAttribute(fd),
    ]);
    const index = answer?.get(Attribute.INDEX)?.readUInt32LE();
    if (index === undefined) throw new PxError('internal', 'the kernel names no nbd device');
    return index;
  },

  async reconnect(index, backend, fd) {
    await ask(`reconnecting nbd${index}`, Command.RECONFIGURE, [
      uint32Attribute(Attribute.INDEX, index),
      backendAttribute(backend),
      socketAttribute(fd),
    ]);
  },

  async resize(index, backend, sizeBytes) {
    await ask(`resizing nbd${index}`, Command.RECONFIGURE, [
      uint32Attribute(Attribute.INDEX, index),
      uint64Attribute(Attribute.SIZE_BYTES, sizeBytes),
      backendAttribute(backend),
    ]);
  },

  async disconnect(index) {
    await ask(`disconnecting nbd${index}`, Command.DISCONNECT, [
      uint32Attribute(Attribute.INDEX, index),
    ]);
  },
};

async function ask(
  what: string,
  command: number,
  attributes: readonly Buffer[],
): Promise<Map<number, Buffer>[]> {
  const family = await findNetlinkFamily('nbd');
  if (family === undefined) {
    throw new PxError(
      'failed_precondition',
      "the kernel's nbd does not answer here: its netlink interface is not registered, " +
        'or not to be seen in this network namespace; use fuse',
    );
  }
  return netlinkRequest(what, { family, command, attributes: Buffer.concat(attributes) });
}

/** With it in place the kernel refuses a reconfiguration that is meant for another volume. */
function backendAttribute(backend: string): Buffer {
  return attribute(Attribute.BACKEND_IDENTIFIER, Buffer.from(`${backend}\0`));
}

function socketAttribute(fd: number): Buffer {
  const item = nestedAttribute(SOCK_ITEM, uint32Attribute(SOCK_FD, fd));
  return nestedAttribute(Attribute.SOCKETS, item);
}
