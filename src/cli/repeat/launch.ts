import * as fs from 'node:fs';
import { stateRootPath } from '../../cache/state-root.js';
import { realUid } from '../../worker/sys/namespaces.js';
import { callWitness } from '../../worker/sys/witness.js';
import { Observation } from './observation.js';
import { keep, recall } from './repeat.js';
import type { Outcome } from './repeat-file.js';
import { unseenPackage, watchEnvironment, watchRequire } from './watch.js';

/** Major 1, minor 3. */
const NULL_DEVICE = 0x103;

export interface Launch {
  /** Whether the command was one whose end is known: then it was said, and nothing is left to do. */
  repeat(): boolean;
  /** What the program is to load its modules with. After it, `finish` must come. */
  watch(load: NodeJS.Require): (request: string) => unknown;
  /** At the end of the process. */
  finish(status: number, loaded: readonly string[]): void;
}

/**
 * The way of a command around the program: where a command with equal arguments only looked, and all that it looked at is as it
 * was, it would look, find and say the same again. See docs/adr/0011-repeats.md.
 * @param program what tells one version of the program from another
 */
export function openLaunch(program: string, args: readonly string[]): Launch {
  const env = process.env;
  const root = stateRootPath(rootOption(args), env, realUid());
  const request = JSON.stringify([program, args, process.cwd(), terminalSize()]);
  const seen = new Observation();
  let offered: Outcome | undefined;
  return {
    repeat: () => {
      const outcome = recall(root, request, env);
      if (!outcome) return false;
      write(2, outcome.stderr);
      write(1, outcome.stdout);
      return true;
    },
    watch: (load) => {
      callWitness({
        get watches() {
          return seen.reason === undefined;
        },
        row: (how, path, rows, at) => seen.seeRow(how, path, rows, at),
        unseen: (what) => seen.unrepeatable(what),
        offer: (store, outcome) => {
          if (store === root) offered = outcome;
        },
      });
      process.env = watchEnvironment(env, seen);
      return watchRequire(load, root, seen);
    },
    finish: (status, loaded) => {
      const package_ = unseenPackage(loaded);
      if (package_ !== undefined) seen.unrepeatable(package_);
      if (status === 0 && offered && seen.reason === undefined) keep(root, request, offered, seen);
    },
  };
}

/** As far as it is written in the usual ways; another spelling misses the repeat and nothing else. */
function rootOption(args: readonly string[]): string | undefined {
  const at = args.findIndex((arg) => arg === '--root' || arg.startsWith('--root='));
  const arg = args[at];
  return arg === '--root' ? args[at + 1] : arg?.slice('--root='.length);
}

/** Columns and rows of the terminal on standard error; null where it is none. */
function terminalSize(): readonly [number, number] | null {
  const stat = fs.fstatSync(2);
  // Whether it is a terminal takes a module to find out that a repeat does without.
  if (!stat.isCharacterDevice() || stat.rdev === NULL_DEVICE || !process.stderr.isTTY) return null;
  return [process.stderr.columns, process.stderr.rows];
}

/** All of it, also into a pipe that does not wait. */
function write(fd: number, text: string): void {
  const data = Buffer.from(text);
  for (let at = 0; at < data.length;) {
    try {
      at += fs.writeSync(fd, data, at);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EPIPE' || code === 'EIO') return;
      if (code !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}
