import { renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { PID_FILE } from '../snapshot/work-directory.js';
import { openInputPipe, type SparePipes } from '../sys/pipe.js';
import { startUnheard, type UnheardProcess } from './child-process.js';
import { type DeviceNodes, makeDeviceNodes } from './device-nodes.js';
import type { PreparedProcess, RunDirectories } from './executor.js';

/** An OCI runtime's program. */
export interface RuntimeProgram {
  readonly name: 'crun' | 'runc';
  /** Absolute. */
  readonly program: string;
}

/** What a runtime is told of one container but for its config.json, which comes last. */
export interface Bundle extends RunDirectories {
  /** Unique on the machine: the names of the work directory and of the run in it. */
  readonly id: string;
  readonly devices: DeviceNodes;
  /** Empty as long as the runtime itself has not failed. */
  readonly log: string;
  readonly container: { readonly directory: string; readonly stateDirectory: string };
  /** Arguments that start it, and that end it. */
  readonly run: readonly string[];
  readonly remove: readonly string[];
}

export function createBundle({ name }: RuntimeProgram, { directory, memory }: RunDirectories): Bundle {
  const id = `tsbuild-${basename(dirname(directory))}-${basename(directory)}`;
  const log = join(memory, 'log');
  const state = join(memory, 'runtime');
  writeFileSync(log, '');
  const common = [
    ...['--root', state, '--log', log, '--log-format', 'json'],
    ...(name === 'crun' ? ['--cgroup-manager', 'disabled'] : []),
  ];
  return {
    directory,
    memory,
    id,
    devices: makeDeviceNodes(memory),
    log,
    container: { directory: memory, stateDirectory: join(state, id) },
    run: [...common, 'run', '--bundle', memory, '--pid-file', join(directory, PID_FILE), id],
    remove: [...common, 'delete', '--force', id],
  };
}

export function writeConfig({ memory }: Bundle, text: string): void {
  writeFileSync(configFile(memory), text);
}

const configFile = (memory: string) => join(memory, 'config.json');

/** What crun has as its third descriptor. */
const CONFIG_LINK = '/proc/self/fd/3';

/**
 * A crun that was started before it is known what it is to run. To start it, with its ten libraries, takes a third of what it needs for a
 * container; then it reads its config, which is a pipe here. Where this process ends, so does the pipe, and crun with it.
 */
export class WaitingRuntime implements PreparedProcess {
  readonly bundle: Bundle;
  readonly #config = openInputPipe();
  #process: UnheardProcess | undefined;

  constructor(runtime: RuntimeProgram, directories: RunDirectories, spares: SparePipes) {
    try {
      this.bundle = createBundle(runtime, directories);
      symlinkSync(CONFIG_LINK, configFile(directories.memory));
      const { devices, run } = this.bundle;
      const descriptors = [this.#config.readEnd];
      this.#process = startUnheard(runtime.program, run, { nothing: devices.nothing, spares, descriptors });
    } catch (error) {
      this.#config.close();
      throw error;
    }
    this.#config.closeReadEnd();
  }

  get directory(): string {
    return this.bundle.directory;
  }

  get memory(): string {
    return this.bundle.memory;
  }

  /** The process, which goes on with this config; undefined where it cannot: then no process of it is left that could have begun. */
  take(config: string): UnheardProcess | undefined {
    const process = this.#process;
    // It reads on until the pipe is closed, so that it does not begin with a part.
    if (process === undefined || !this.#config.write(config)) {
      this[Symbol.dispose]();
      return undefined;
    }
    // crun reads its config a second time, for a copy of its own.
    const whole = `${configFile(this.memory)}.whole`;
    writeFileSync(whole, config);
    renameSync(whole, configFile(this.memory));
    this.#process = undefined;
    this.#config.close();
    return process;
  }

  [Symbol.dispose](): void {
    if (this.#process === undefined) return;
    this.#process.end();
    this.#process = undefined;
    this.#config.close();
    // What is written to the link's name would go to a descriptor of this process.
    rmSync(configFile(this.memory), { force: true });
  }
}
