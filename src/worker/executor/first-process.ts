import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { BuildError, Interruption } from '../../errors.js';
import { PID_FILE } from '../snapshot/work-directory.js';
import { findProgram } from '../sys/programs.js';
import type { Executor, ProcessExit, ProcessIo, ProcessMount, ProcessSpec } from './executor.js';
import { runAsking } from './graceful.js';

/** What docker stop gives a program. */
const GRACE_MS = 10_000;

/**
 * Runs a process that gets the signal which ends this one, as its first: it has ten seconds to end by itself, with an exit code of
 * its own. The kernel keeps from the first process what it has no handler for; then it is killed and the reason thrown.
 */
export function runForwarding(
  executor: Executor,
  spec: ProcessSpec,
  io: ProcessIo,
  signal: AbortSignal,
): Promise<ProcessExit> {
  const ask = () => {
    const name = signal.reason instanceof Interruption ? signal.reason.signalName : 'SIGTERM';
    return sendSignal(spec.directory, name);
  };
  return runAsking(executor, spec, io, signal, { graceMs: GRACE_MS, ask });
}

/** False where a runtime that is still starting has no process yet. */
function sendSignal(directory: string, name: NodeJS.Signals): boolean {
  try {
    const pid = Number.parseInt(readFileSync(join(directory, PID_FILE), 'utf8'), 10);
    if (!(pid > 1)) return false;
    process.kill(pid, name);
    return true;
  } catch {
    return false;
  }
}

const INITS = ['docker-init', 'tini-static', 'catatonit', 'dumb-init'];
const INIT_TARGET = '/sbin/docker-init';

/**
 * An init of the host as a process's first: it hands signals on and waits for the orphans that the process leaves. It has to
 * be a static program, since the image may have another libc, or none.
 * @throws USAGE where the host has none
 */
export function withInit(args: readonly string[]): { args: readonly string[]; mount: ProcessMount } {
  const inits = [...INITS.map((name) => findProgram(name)), '/usr/libexec/podman/catatonit'];
  const source = inits.find((path) => path !== undefined && isStaticProgram(path));
  if (source === undefined) {
    throw new BuildError('USAGE', `--init: this machine has none of ${INITS.join(', ')}`, {
      hint: 'install the package tini',
    });
  }
  return { args: [INIT_TARGET, '--', ...args], mount: { source, target: INIT_TARGET, readonly: true } };
}

/** Whether no program header of the ELF file names an interpreter. */
function isStaticProgram(path: string): boolean {
  const [interpreter, headersBytes, elf64] = [3, 4096, 2];
  const start = Buffer.alloc(headersBytes);
  try {
    const file = openSync(path, 'r');
    try {
      readSync(file, start, 0, headersBytes, 0);
    } finally {
      closeSync(file);
    }
  } catch {
    return false;
  }
  if (start.readUInt32BE(0) !== 0x7f454c46 || start[4] !== elf64) return false;
  const littleEndian = start[5] === 1;
  const word = (at: number) => (littleEndian ? start.readUInt32LE(at) : start.readUInt32BE(at));
  const half = (at: number) => (littleEndian ? start.readUInt16LE(at) : start.readUInt16BE(at));
  const [tableAt, entryBytes, count] = [littleEndian ? word(0x20) : word(0x24), half(0x36), half(0x38)];
  if (tableAt + entryBytes * count > headersBytes) return false;
  return Array.from({ length: count }, (_, i) => word(tableAt + entryBytes * i)).every(
    (type) => type !== interpreter,
  );
}
