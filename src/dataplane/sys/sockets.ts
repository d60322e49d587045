import { closeFile } from './files.js';
import { libc, must, outcome, Errno } from './libc.js';
import { allocateMemory } from './memory.js';

/**
 * Nonblocking stream sockets for the I/O loops. Set-up calls throw, transfer
 * calls answer bytes or -errno. Source of the constants: asm-generic/socket.h,
 * linux/in.h, linux/tcp.h.
 */
const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM_NONBLOCK_CLOEXEC = 1 | 0o4000 | 0o2000000;
const SOCK_ACCEPT_FLAGS = 0o4000 | 0o2000000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_ERROR = 4;
const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;
const TCP_USER_TIMEOUT = 18;
const MSG_NOSIGNAL = 0x4000;
const MSG_DONTWAIT = 0x40;

const socketCall = libc.func('socket', 'int', ['int', 'int', 'int']) as Three;
const bindCall = libc.func('bind', 'int', ['int', 'uintptr_t', 'uint']) as Three;
const connectCall = libc.func('connect', 'int', ['int', 'uintptr_t', 'uint']) as Three;
const listenCall = libc.func('listen', 'int', ['int', 'int']) as (a: number, b: number) => number;
const acceptCall = libc.func('accept4', 'int', ['int', 'uintptr_t', 'uintptr_t', 'int']) as Four;
const sendCall = libc.func('send', 'intptr_t', ['int', 'uintptr_t', 'size_t', 'int']) as Four;
const receiveCall = libc.func('recv', 'intptr_t', ['int', 'uintptr_t', 'size_t', 'int']) as Four;
const sendMessageCall = libc.func('sendmsg', 'intptr_t', ['int', 'uintptr_t', 'int']) as Three;
const setOptionCall = libc.func('setsockopt', 'int', [
  'int',
  'int',
  'int',
  'uintptr_t',
  'uint',
]) as Five;
const getOptionCall = libc.func('getsockopt', 'int', [
  'int',
  'int',
  'int',
  'uintptr_t',
  'uintptr_t',
]) as Five;
const peerNameCall = libc.func('getpeername', 'int', ['int', 'uintptr_t', 'uintptr_t']) as Three;
const sockNameCall = libc.func('getsockname', 'int', ['int', 'uintptr_t', 'uintptr_t']) as Three;
const socketPairCall = libc.func('socketpair', 'int', ['int', 'int', 'int', 'uintptr_t']) as Four;

type Three = (a: number, b: number, c: number) => number;
type Four = (a: number, b: number, c: number, d: number) => number;
type Five = (a: number, b: number, c: number, d: number, e: number) => number;

/** One thread's room for addresses, options and the message header of sendmsg. */
const scratch = allocateMemory(4096);
const bytes = new Uint8Array(scratch.buffer, 0, 512);
const view = new DataView(scratch.buffer, 0, 1024);
const addressAt = scratch.address;
const lengthOffset = 256;
const optionOffset = 272;
const messageOffset = 512;

export interface SocketAddress {
  readonly host: string;
  readonly port: number;
}

/** A nonblocking listener; port 0 lets the kernel choose (see `localAddress`). */
export function listenTcp(address: SocketAddress, backlog = 128): number {
  const length = putInetAddress(address);
  const fd = openSocket(bytes[0] === AF_INET6 ? AF_INET6 : AF_INET);
  setIntOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  const what = `listening on ${address.host}:${address.port}`;
  return finish(fd, outcome(bindCall(fd, addressAt, length)), backlog, what);
}

/** The caller removes a stale socket file first. */
export function listenUnix(path: string, backlog = 128): number {
  const fd = openSocket(AF_UNIX);
  const length = putUnixAddress(path);
  return finish(fd, outcome(bindCall(fd, addressAt, length)), backlog, `listening on ${path}`);
}

function finish(fd: number, bound: number, backlog: number, what: string): number {
  const result = bound < 0 ? bound : outcome(listenCall(fd, backlog));
  if (result < 0) closeFile(fd);
  must(result, what);
  return fd;
}

/**
 * Starts a connection. The descriptor becomes writable when it is decided;
 * `socketError` then says how it ended. Throws only when it failed at once.
 */
export function connectTcp(address: SocketAddress): number {
  const length = putInetAddress(address);
  const fd = openSocket(bytes[0] === AF_INET6 ? AF_INET6 : AF_INET);
  return begin(fd, length, `connecting to ${address.host}:${address.port}`);
}

export function connectUnix(path: string): number {
  const fd = openSocket(AF_UNIX);
  return begin(fd, putUnixAddress(path), `connecting to ${path}`);
}

function begin(fd: number, length: number, what: string): number {
  const result = outcome(connectCall(fd, addressAt, length));
  if (result < 0 && result !== -Errno.EINPROGRESS) {
    closeFile(fd);
    must(result, what);
  }
  return fd;
}

/** A nonblocking connection, or -EAGAIN, or another -errno. */
export function accept(listener: number): number {
  return outcome(acceptCall(listener, 0, 0, SOCK_ACCEPT_FLAGS));
}

/** Bytes taken by the kernel or -errno; `flags` may be `MSG_MORE`. Never raises SIGPIPE. */
export function send(fd: number, address: number, length: number, flags = 0): number {
  return outcome(sendCall(fd, address, length, flags | MSG_NOSIGNAL | MSG_DONTWAIT));
}

/** Bytes received, 0 at the end of the stream, or -errno. */
export function receive(fd: number, address: number, length: number): number {
  return outcome(receiveCall(fd, address, length, MSG_DONTWAIT));
}

/** Sends `count` iovecs at `vector` (an `IoVector` address) at once: writev without SIGPIPE. */
export function sendVector(fd: number, vector: number, count: number, flags = 0): number {
  // struct msghdr: name 0, namelen 8, iov 16, iovlen 24, control 32, controllen 40, flags 48.
  view.setUint32(messageOffset + 16, vector >>> 0, true);
  view.setUint32(messageOffset + 20, (vector / 4294967296) >>> 0, true);
  view.setUint32(messageOffset + 24, count, true);
  const message = scratch.address + messageOffset;
  return outcome(sendMessageCall(fd, message, flags | MSG_NOSIGNAL | MSG_DONTWAIT));
}

/** Requests and acknowledgements are small and must not wait for each other. */
export function setNoDelay(fd: number): number {
  return setIntOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
}

/** Unacknowledged data older than this ends the connection. */
export function setUserTimeout(fd: number, timeoutMs: number): number {
  return setIntOption(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, timeoutMs);
}

/** How a connection attempt ended, and what broke a connection: 0 or a positive errno. */
export function socketError(fd: number): number {
  view.setUint32(lengthOffset, 4, true);
  const result = outcome(
    getOptionCall(fd, SOL_SOCKET, SO_ERROR, addressAt + optionOffset, addressAt + lengthOffset),
  );
  return result < 0 ? -result : view.getInt32(optionOffset, true);
}

/** The other side's address; undefined for unix sockets and broken connections. */
export function peerAddress(fd: number): SocketAddress | undefined {
  view.setUint32(lengthOffset, 128, true);
  const result = outcome(peerNameCall(fd, addressAt, addressAt + lengthOffset));
  return result < 0 ? undefined : readInetAddress();
}

export function localAddress(fd: number): SocketAddress | undefined {
  view.setUint32(lengthOffset, 128, true);
  const result = outcome(sockNameCall(fd, addressAt, addressAt + lengthOffset));
  return result < 0 ? undefined : readInetAddress();
}

/** A connected, nonblocking pair of unix stream sockets. */
export function socketPair(): [number, number] {
  const at = addressAt + optionOffset;
  must(outcome(socketPairCall(AF_UNIX, SOCK_STREAM_NONBLOCK_CLOEXEC, 0, at)), 'socketpair');
  return [view.getInt32(optionOffset, true), view.getInt32(optionOffset + 4, true)];
}

function openSocket(family: number): number {
  return must(outcome(socketCall(family, SOCK_STREAM_NONBLOCK_CLOEXEC, 0)), 'socket');
}

function setIntOption(fd: number, level: number, option: number, value: number): number {
  view.setInt32(optionOffset, value, true);
  return outcome(setOptionCall(fd, level, option, addressAt + optionOffset, 4));
}

function putUnixAddress(path: string): number {
  const encoded = Buffer.from(path);
  // sun_path has 108 bytes with its terminator (linux/un.h).
  if (encoded.length > 107) throw new Error(`the socket path is longer than 107 bytes: ${path}`);
  bytes.fill(0, 0, 110);
  view.setUint16(0, AF_UNIX, true);
  bytes.set(encoded, 2);
  return 2 + encoded.length + 1;
}

/** Writes a sockaddr_in or sockaddr_in6; the host is a numeric address, never a name. */
function putInetAddress({ host, port }: SocketAddress): number {
  bytes.fill(0, 0, 32);
  view.setUint16(2, port, false);
  if (host.includes(':')) {
    view.setUint16(0, AF_INET6, true);
    bytes.set(parseIpv6(host), 8);
    return 28;
  }
  const parts = host.split('.').map(Number);
  if (parts.length !== 4 || parts.some((part) => !(part >= 0 && part <= 255))) {
    throw new Error(`not a numeric address: ${host}`);
  }
  view.setUint16(0, AF_INET, true);
  bytes.set(parts, 4);
  return 16;
}

function parseIpv6(host: string): Uint8Array {
  const [head = '', tail] = host.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const missing = 8 - left.length - right.length;
  if (tail === undefined ? missing !== 0 : missing < 0) {
    throw new Error(`not a numeric IPv6 address: ${host}`);
  }
  const groups = [...left, ...new Array<string>(missing).fill('0'), ...right];
  const result = new Uint8Array(16);
  groups.forEach((group, index) => {
    const value = Number.parseInt(group, 16);
    result[index * 2] = value >> 8;
    result[index * 2 + 1] = value & 0xff;
  });
  return result;
}

function readInetAddress(): SocketAddress | undefined {
  const family = view.getUint16(0, true);
  const port = view.getUint16(2, false);
  if (family === AF_INET) return { host: bytes.subarray(4, 8).join('.'), port };
  if (family !== AF_INET6) return undefined;
  const groups: string[] = [];
  for (let index = 0; index < 8; index++) {
    groups.push(view.getUint16(8 + index * 2, false).toString(16));
  }
  return { host: groups.join(':'), port };
}
