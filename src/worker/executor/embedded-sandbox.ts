import { readFileSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { BuildError, throwIfAborted } from '../../errors.js';
import { PID_FILE } from '../snapshot/work-directory.js';
import { enterMountNamespace, inUserNamespace } from '../sys/namespaces.js';
import { findProgram } from '../sys/programs.js';
import { type SandboxInput, sandboxInitArguments } from '../sys/sandbox-init.js';
import { CAPABILITIES, capabilitiesFor } from './capabilities.js';
import { startError, startProcess } from './child-process.js';
import { DEVICE_NAMES, type DeviceNodes, makeDeviceNodes } from './device-nodes.js';
import { endProcessesOf, isOfSignal } from './end-processes.js';
import type { Executor, ProcessSpec } from './executor.js';
import { MASKED_PATHS, READONLY_PATHS } from './oci-config.js';
import { protectProgram } from './protect-program.js';
import { resolveInRoot } from './root-path.js';

/**
 * An executor for machines without an OCI runtime: util-linux makes the namespaces and node itself is the first process in them, which
 * turns into the build's. It gives what the runtimes give but the filter of system calls, and takes 40 ms more.
 *
 * @param unshare absolute path of util-linux's program
 */
export function createEmbeddedSandbox(unshare: string): Executor {
  return {
    name: 'sandbox',
    async run(spec, io, signal) {
      throwIfAborted(signal);
      enterMountNamespace();
      protectProgram(process.execPath);
      const devices = makeDeviceNodes(spec.memory);
      const input = createInput(spec, devices);
      const inputFile = join(spec.memory, 'sandbox.json');
      writeFileSync(inputFile, JSON.stringify(input));
      writeFileSync(input.errorFile, '');
      const namespaces = [
        '--pid',
        '--mount',
        '--ipc',
        '--uts',
        '--cgroup',
        ...(spec.network === 'none' ? ['--net'] : []),
      ];
      const options = ['--fork', '--kill-child', '--propagation', 'private', ...namespaces];
      const command = [...options, '--', process.execPath, ...sandboxInitArguments(inputFile)];
      const limited = limitArguments(spec, unshare, command);
      const ownErrors = join(spec.memory, 'errors');
      writeFileSync(ownErrors, '');
      const separate = ['-c', 'exec 3>&2 2>"$0" "$@"', ownErrors, limited.program, ...limited.args];
      const child = startProcess('/bin/sh', separate, io, devices.nothing, {});
      const kill = () => killSandbox(input.pidFile, child.kill);
      signal.addEventListener('abort', kill, { once: true });
      let exitCode = 0;
      try {
        exitCode = exitCodeOf(await child.exitCode, readFileSync(ownErrors, 'utf8'));
        throwIfAborted(signal);
        if (exitCode !== 0) throwStartError(readFileSync(input.errorFile, 'utf8'), spec);
        return { exitCode };
      } catch (error) {
        throw signal.aborted ? error : startError('unshare', error);
      } finally {
        if (signal.aborted || isOfSignal(exitCode)) await endProcessesOf(spec.directory);
        signal.removeEventListener('abort', kill);
      }
    },
  };
}

/**
 * unshare ends as its child did, but for one whose end was SIGKILL: util-linux 2.38 fails then as it wants to end itself in the
 * same way.
 */
function exitCodeOf(exitCode: number, ownErrors: string): number {
  return exitCode === 1 && ownErrors.includes('sigprocmask') ? 128 + constants.signals.SIGKILL : exitCode;
}

/** Limits are inherited, so prlimit of util-linux sets them before the namespaces are made. */
function limitArguments({ rlimits }: ProcessSpec, program: string, args: readonly string[]) {
  const prlimit = rlimits.length === 0 ? undefined : findProgram('prlimit');
  if (prlimit === undefined) return { program, args };
  const shown = (value: number) => (value < 0 ? 'unlimited' : String(value));
  const limits = rlimits.map(({ type, soft, hard }) => `--${type}=${shown(soft)}:${shown(hard)}`);
  return { program: prlimit, args: [...limits, '--', program, ...args] };
}

function createInput(spec: ProcessSpec, devices: DeviceNodes): SandboxInput {
  const sandboxed = spec.security === 'sandbox';
  const kept = new Set<string>(capabilitiesFor(spec.security, spec.capabilities));
  const own = new Set<string>(capabilitiesFor('insecure'));
  return {
    rootfs: spec.rootfs,
    readonlyRootfs: spec.readonlyRootfs ?? false,
    args: spec.args,
    env: spec.env,
    cwd: spec.cwd,
    uid: spec.uid,
    gid: spec.gid,
    groups: spec.additionalGids,
    hostname: spec.hostname,
    raiseLoopback: spec.network === 'none',
    networkNamespace: typeof spec.network === 'object' ? spec.network.namespace : '',
    bindSys: spec.network === 'host' && inUserNamespace(),
    writableSys: !sandboxed,
    devices: { names: DEVICE_NAMES, ...devices },
    shmSizeKb: Math.ceil((spec.shmSizeBytes ?? 64 << 20) / 1024),
    mounts: spec.mounts.map((mount) => ({ ...mount, target: resolveInRoot(spec.rootfs, mount.target) })),
    tmpfs: (spec.tmpfs ?? []).map(({ target, exec, readonly, data }) => ({
      target: resolveInRoot(spec.rootfs, target),
      exec,
      readonly,
      data: data.join(','),
    })),
    maskedPaths: sandboxed ? MASKED_PATHS : [],
    readonlyPaths: sandboxed ? READONLY_PATHS : [],
    dropped: CAPABILITIES.flatMap((name, number) => (own.has(name) && !kept.has(name) ? [number] : [])),
    openFiles: spec.rlimits.find(({ type }) => type === 'nofile'),
    processFiles: spec.processFiles ?? [],
    errorFile: join(spec.directory, 'log'),
    pidFile: join(spec.directory, PID_FILE),
  };
}

/** The end of the first process ends all others. Before it has told its pid, it ends with unshare. */
function killSandbox(pidFile: string, killUnshare: () => void): void {
  try {
    const pid = Number.parseInt(readFileSync(pidFile, 'utf8'), 10);
    if (pid > 1) process.kill(pid, 'SIGKILL');
  } catch {
    // It never started, or has ended already.
  }
  killUnshare();
}

function throwStartError(message: string, { args }: ProcessSpec): void {
  if (message === '') return;
  if (/not found|no such file|exec format|permission denied|not a directory/.test(message)) {
    throw new BuildError('RUN_FAILED', `"${args[0]}" cannot be started: ${message}`);
  }
  throw new BuildError('EXECUTOR_FAILED', `the sandbox cannot be set up: ${message}`, {
    hint: 'install the package crun',
  });
}
