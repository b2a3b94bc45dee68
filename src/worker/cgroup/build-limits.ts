import { writeFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { MemoryAdmission } from './admission.js';
import { ControlGroup, GROUPS_FILE, type MemoryUse } from './group.js';
import type { ResourceLimits } from './limits.js';

export interface BuildLimitsOptions {
  /** Of each step. */
  readonly step: ResourceLimits;
  /** Of all steps of the build together. */
  readonly build: ResourceLimits;
  /** A new directory in this process's scratch space. */
  readonly createDirectory: () => Promise<string>;
}

/** A step's place in the limits of its build; disposing removes its group and lets others begin. */
export interface LimitedStep extends AsyncDisposable {
  /** What a process writes its pid to, to be limited. */
  readonly processFiles: readonly string[];
  /** In words, when a process of the step was killed for want of memory. */
  outOfMemory(): string | undefined;
}

const UNLIMITED: LimitedStep = {
  processFiles: [],
  outOfMemory: () => undefined,
  [Symbol.asyncDispose]: async () => undefined,
};

/**
 * The limits of a build's steps as control groups: one for the build, made with its first step, and one in it for each step. Without
 * limits nothing is made. Steps that say what memory they need begin only while all of it fits into the build's.
 */
export class BuildLimits {
  readonly #options: BuildLimitsOptions;
  readonly #admission: MemoryAdmission;
  #group: Promise<ControlGroup> | undefined;
  #next = 0;

  constructor(options: BuildLimitsOptions) {
    this.#options = options;
    this.#admission = new MemoryAdmission(options.build.memoryBytes ?? machineMemory());
  }

  /** @param note is told when the step must wait for memory */
  async openStep(signal: AbortSignal, note: (message: string) => void): Promise<LimitedStep> {
    const { step, build } = this.#options;
    if (isEmpty(step) && isEmpty(build)) return UNLIMITED;
    const needed = step.memoryBytes ?? 0;
    const place = await this.#admission.enter(needed, signal, () =>
      note(
        `waiting for memory: this step may use ${formatBytes(needed)}, and others use the rest of the build's`,
      ),
    );
    try {
      const parent = await (this.#group ??= this.#createGroup());
      const group = ControlGroup.create(`step-${this.#next++}`, step, { parent });
      return {
        processFiles: group.processFiles,
        outOfMemory: () => describeKill(group.memoryUse(), step, build),
        async [Symbol.asyncDispose]() {
          await group.remove();
          place[Symbol.dispose]();
        },
      };
    } catch (error) {
      place[Symbol.dispose]();
      throw error;
    }
  }

  async close(): Promise<void> {
    const group = await this.#group?.catch(() => undefined);
    this.#group = undefined;
    await group?.remove();
  }

  async #createGroup(): Promise<ControlGroup> {
    const directory = await this.#options.createDirectory();
    const group = ControlGroup.create(groupName(), this.#options.build, { below: this.#options.step });
    writeFileSync(join(directory, GROUPS_FILE), group.directories.join('\n'));
    return group;
  }
}

let groups = 0;
const groupName = () => `tsbuild-${process.pid}-${groups++}`;

function isEmpty(limits: ResourceLimits): boolean {
  return Object.values(limits).every((value) => value === undefined);
}

function describeKill({ oomKills, peakBytes }: MemoryUse, step: ResourceLimits, build: ResourceLimits) {
  if (oomKills === 0) return undefined;
  const limits = [
    ...(step.memoryBytes === undefined ? [] : [`the step's limit is ${formatBytes(step.memoryBytes)}`]),
    ...(build.memoryBytes === undefined ? [] : [`the build's limit is ${formatBytes(build.memoryBytes)}`]),
    `its peak was ${formatBytes(peakBytes)}`,
  ];
  return `out of memory: ${limits.join(', ')}`;
}

function formatBytes(bytes: number): string {
  const mebibytes = bytes / 2 ** 20;
  return mebibytes >= 1024 ? `${round(mebibytes / 1024)} GiB` : `${round(mebibytes)} MiB`;
}

function round(value: number): string {
  return String(Math.round(value * 10) / 10);
}

/** What the machine has, or what the control group around this process leaves of it. */
function machineMemory(): number {
  const constrained = process.constrainedMemory();
  return constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
}
