import type { SparePipes } from '../sys/pipe.js';
import type { CapabilityChange } from './capabilities.js';

/**
 * Runs one process on a root file system, isolated by namespaces: pid, mount, ipc, uts and cgroup always; the network is the
 * host's, one with nothing but loopback for `none`, or a namespace that is there already.
 *
 * `run` resolves with the exit code once the process and everything it started are gone. Output is handed on as it
 * comes, all of it, before `run` resolves. When the signal is aborted everything is killed within a second, then `run`
 * rejects with the signal's reason. Nothing is left in either case: no process, no mount, no file.
 */
export interface Executor {
  readonly name: 'crun' | 'runc' | 'sandbox';
  /**
   * @throws RUN_FAILED when the program is not there or cannot be started, EXECUTOR_FAILED when the runtime fails
   */
  run(spec: ProcessSpec, io: ProcessIo, signal: AbortSignal): Promise<ProcessExit>;
  /**
   * Begins, while another process runs, what any process needs, where something can be gained. `run` takes it up as
   * `io.prepared`, with a spec that has the same directories. The process must be in a mount namespace of its own.
   */
  prepare?(directories: RunDirectories, spares: SparePipes): PreparedProcess;
}

/** What a process is begun with. Disposing ends what no process took up; everything is gone then but the directories. */
export type PreparedProcess = RunDirectories & Disposable;

/** Directories of one run. */
export type RunDirectories = Pick<ProcessSpec, 'directory' | 'memory'>;

export interface ProcessSpec {
  /** Mounted root file system, absolute. */
  readonly rootfs: string;
  /** Existing directory for the run's own files, on any file system; its owner removes it. */
  readonly directory: string;
  /** The same in memory, empty: for what describes the process, since its environment may hold secrets. */
  readonly memory: string;
  readonly args: readonly string[];
  /** `K=V`; of equal names the last counts. PATH finds the program. */
  readonly env: readonly string[];
  /** Absolute; exists in the root file system. */
  readonly cwd: string;
  readonly uid: number;
  readonly gid: number;
  readonly additionalGids: readonly number[];
  readonly hostname: string;
  readonly network: ProcessNetwork;
  /** `insecure`: all capabilities, nothing masked. */
  readonly security: 'sandbox' | 'insecure';
  /** Changes what `sandbox` gives. */
  readonly capabilities?: CapabilityChange;
  readonly mounts: readonly ProcessMount[];
  readonly tmpfs?: readonly TmpfsMount[];
  /** Size of /dev/shm; 64 MiB without it. */
  readonly shmSizeBytes?: number;
  /** By the names of setrlimit(2) in lower case, without RLIMIT_; -1 is no limit. */
  readonly rlimits: readonly { readonly type: string; readonly soft: number; readonly hard: number }[];
  readonly readonlyRootfs?: boolean;
  /** `cgroup.procs` files that the process is written to before it starts. */
  readonly processFiles?: readonly string[];
}

/** `namespace` is the path of a network namespace. */
export type ProcessNetwork = 'host' | 'none' | { readonly namespace: string };

/** A bind mount; the target exists in the root file system, or is below /dev. */
export interface ProcessMount {
  readonly source: string;
  readonly target: string;
  readonly readonly: boolean;
}

/** Memory as a directory, empty at the start; without set-uid and device files, and programs unless `exec`. */
export interface TmpfsMount {
  readonly target: string;
  readonly exec: boolean;
  readonly readonly: boolean;
  /** As the file system takes them: `size=64m`, `mode=1777`. */
  readonly data: readonly string[];
}

/**
 * Where output goes: to a listener, with an empty stdin, or to this process's own stdout and stderr, with its stdin where there
 * is `input`. The bytes are valid
 * during the call; a promise that the listener gives back holds the process up until it is settled.
 */
export type ProcessIo =
  | {
      readonly onOutput: ProcessOutput;
      /** The process takes its pipes of these. */
      readonly spares?: SparePipes;
      readonly prepared?: PreparedProcess | undefined;
    }
  | { readonly inherit: true; readonly terminal: boolean; readonly input: boolean };

export type ProcessOutput = (stream: 1 | 2, data: Uint8Array) => void | Promise<void>;

export interface ProcessExit {
  /** 128 + n for a process that signal n ended. */
  readonly exitCode: number;
}
