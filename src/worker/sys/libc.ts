import { getSystemErrorName } from 'node:util';
import type * as Koffi from 'koffi';
import { ownRequire } from '../../oci/own-require.js';

type NativeCall = (...args: unknown[]) => number;

let koffi: typeof Koffi | undefined;
let libc: ReturnType<typeof Koffi.load> | undefined;
const functions = new Map<string, NativeCall>();

/** The one place that loads koffi: on the first system call that Node does not have. */
function loadLibc(): ReturnType<typeof Koffi.load> {
  koffi ??= ownRequire()('koffi') as typeof Koffi;
  libc ??= koffi.load(null);
  return libc;
}

/** Absolute path of the koffi module, for a process that is to load it without this one. */
export function koffiPath(): string {
  return ownRequire().resolve('koffi');
}

/**
 * Calls a function of libc that reports failure as -1 and errno. `prototype` is a C declaration and serves as the key.
 * @throws an ErrnoException like those of node:fs, with `code`, `syscall` and `path`
 */
export function callLibc(prototype: string, args: readonly unknown[], path?: string): number {
  let call = functions.get(prototype);
  if (!call) {
    call = loadLibc().func(prototype) as unknown as NativeCall;
    functions.set(prototype, call);
  }
  const result = Number(call(...args));
  if (result !== -1) return result;
  throw errnoError(koffi!.errno(), /(\w+)\(/.exec(prototype)?.[1] ?? prototype, path);
}

/** For a function that gives the error's number back. */
export function errnoError(errno: number, syscall: string, path?: string): NodeJS.ErrnoException {
  const code = getSystemErrorName(-errno);
  const error: NodeJS.ErrnoException = new Error(
    `${code}: ${syscall} failed${path === undefined ? '' : ` on "${path}"`}`,
  );
  error.code = code;
  error.errno = -errno;
  error.syscall = syscall;
  if (path !== undefined) error.path = path;
  return error;
}

/** True where `error` is a system call's error of that code. */
export function isErrno(error: unknown, ...codes: string[]): boolean {
  return codes.includes((error as NodeJS.ErrnoException | undefined)?.code ?? '');
}
