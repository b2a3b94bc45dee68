import { endianness } from 'node:os';
import { callLibc } from './libc.js';

/** What netlink(7) names so. */
export const [NLMSG_ERROR, NLM_F_REQUEST, NLM_F_ACK, NLM_F_ECHO, NLM_F_EXCL, NLM_F_CREATE] = [
  2, 1, 4, 8, 0x200, 0x400,
];
const HEADER_BYTES = 16;

const [AF_NETLINK, SOCK_RAW, SOCK_NONBLOCK, SOCK_CLOEXEC] = [16, 3, 0o4000, 0o2000000];

/** A socket to that part of the kernel; an answer is there as soon as the question was written. */
export function openNetlink(protocol: number): number {
  return callLibc('int socket(int domain, int type, int protocol)', [
    AF_NETLINK,
    SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
    protocol,
  ]);
}

/** A message with its header. @param sequence what answers to it are told by */
export function netlinkMessage(type: number, flags: number, body: readonly Buffer[], sequence = 1): Buffer {
  const bodyBytes = body.reduce((sum, part) => sum + part.length, 0);
  const header = [u32(HEADER_BYTES + bodyBytes), u16(type), u16(flags), u32(sequence), u32(0)];
  return Buffer.concat([...header, ...body]);
}

/** A message that came, without its header. */
export interface NetlinkAnswer {
  readonly type: number;
  readonly body: Buffer;
}

export function* netlinkAnswers(data: Buffer): Generator<NetlinkAnswer> {
  for (let at = 0; at + HEADER_BYTES <= data.length;) {
    const bytes = readU32(data, at);
    if (bytes < HEADER_BYTES) return;
    yield { type: readU16(data, at + 4), body: data.subarray(at + HEADER_BYTES, at + bytes) };
    at += aligned(bytes);
  }
}

/** The error of an answer of the type NLMSG_ERROR: 0, or a negative errno. */
export const errorOf = (body: Buffer) => readI32(body, 0);

/** Its length is that without the bytes which fill it up. */
export function attribute(type: number, ...value: readonly Buffer[]): Buffer {
  const data = Buffer.concat(value);
  return Buffer.concat([
    u16(4 + data.length),
    u16(type),
    data,
    Buffer.alloc(aligned(data.length) - data.length),
  ]);
}

/** Attributes by their type, without its flags. */
export function* attributesOf(data: Buffer): Generator<readonly [type: number, value: Buffer]> {
  for (let at = 0; at + 4 <= data.length;) {
    const bytes = readU16(data, at);
    if (bytes < 4) return;
    yield [readU16(data, at + 2) & 0x3fff, data.subarray(at + 4, at + bytes)];
    at += aligned(bytes);
  }
}

const aligned = (bytes: number) => (bytes + 3) & ~3;

export const text = (value: string) => Buffer.from(`${value}\0`);
export const ipv4 = (address: string) => Buffer.from(address.split('.').map(Number));

/** Numbers are in the machine's own byte order. */
const isLittle = endianness() === 'LE';

export function u16(value: number): Buffer {
  const data = Buffer.alloc(2);
  if (isLittle) data.writeUInt16LE(value);
  else data.writeUInt16BE(value);
  return data;
}

export function u32(value: number): Buffer {
  const data = Buffer.alloc(4);
  if (isLittle) data.writeUInt32LE(value);
  else data.writeUInt32BE(value);
  return data;
}

const readU16 = (data: Buffer, at: number) => (isLittle ? data.readUInt16LE(at) : data.readUInt16BE(at));
const readU32 = (data: Buffer, at: number) => (isLittle ? data.readUInt32LE(at) : data.readUInt32BE(at));
const readI32 = (data: Buffer, at: number) => (isLittle ? data.readInt32LE(at) : data.readInt32BE(at));
