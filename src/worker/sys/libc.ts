import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { getSystemErrorName } from 'node:util';
import type * as Koffi from 'koffi';
import { ownFile, ownRequire } from '../../oci/own-require.js';
import { currentWitness } from './witness.js';

export type NativeCall = (...args: unknown[]) => number;

let koffi: typeof Koffi | undefined;
let libc: ReturnType<typeof Koffi.load> | undefined;
const functions = new Map<string, NativeCall>();

/** The one place that loads koffi: on the first system call that Node does not have. */
function loadLibc(): ReturnType<typeof Koffi.load> {
  koffi ??= nativeKoffi() ?? (ownRequire()('koffi') as typeof Koffi);
  libc ??= koffi.load(null);
  return libc;
}

/** The native part alone, without the JavaScript that looks for it: 1 ms in place of 6. Undefined where it is not at its usual place. */
function nativeKoffi(): typeof Koffi | undefined {
  const file = `node_modules/@koromix/koffi-linux-${process.arch}/linux_${process.arch}/koffi.node`;
  for (let directory = dirname(ownFile()); directory !== dirname(directory); directory = dirname(directory)) {
    const path = join(directory, file);
    if (!existsSync(path)) continue;
    const native = { exports: {} as typeof Koffi };
    try {
      process.dlopen(native, path);
      return native.exports;
    } catch {
      // Another libc than glibc: koffi has a file for that as well.
      return undefined;
    }
  }
  return undefined;
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
  currentWitness()?.unseen(prototype);
  const result = Number(libcFunction(prototype)(...args));
  if (result !== -1) return result;
  throw errnoError(koffi!.errno(), /(\w+)\(/.exec(prototype)?.[1] ?? prototype, path);
}

/**
 * A function of libc for many calls in a row, of which the caller tells the witness.
 * @throws where libc has no such function
 */
export function libcFunction(prototype: string): NativeCall {
  let call = functions.get(prototype);
  if (!call) {
    call = loadLibc().func(prototype) as unknown as NativeCall;
    functions.set(prototype, call);
  }
  return call;
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
