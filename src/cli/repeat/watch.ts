import * as fs from 'node:fs';
import type { Stats } from 'node:fs';
import { isBuiltin } from 'node:module';
import { join, resolve } from 'node:path';
import type { Observation } from './observation.js';

type AnyFunction = (...args: unknown[]) => unknown;
type Module = Readonly<Record<string, unknown>>;

/** Functions that take no path: what they can do was seen when the file was opened. */
const WITHOUT_PATH =
  /^(close|read|readv|write|writev|fchmod|fchown|fdatasync|fstat|fsync|ftruncate|futimes)(Sync)?$|^[A-Z_]/;
/** Functions that only look, links followed. */
const LOOKS = /^(access|exists|readFile|readdir|opendir|createReadStream|statfs)(Sync)?$/;

/** Modules of Node that do nothing beyond the process. All others may start processes or threads, connect, or ask somebody. */
const WITHIN = new Set(
  (
    'assert buffer constants crypto diagnostics_channel events module os path perf_hooks process stream stream/promises ' +
    'string_decoder timers timers/promises tty url util zlib'
  ).split(' '),
);
/** Packages outside of the bundle that look at no file. */
const WITHOUT_FILES = /\/node_modules\/(dockerfile-ast|vscode-languageserver-[a-z]+|yaml)\//;

/**
 * Gives the program its modules such that all it looks at is seen.
 * @param root the store, where a cached build leaves its traces
 */
export function watchRequire(
  load: NodeJS.Require,
  root: string,
  seen: Observation,
): (request: string) => unknown {
  const files = new FileWatch(root, seen);
  const known = new Map<string, unknown>();
  return (request) => {
    const name = request.replace(/^node:/, '');
    if (name !== 'fs' && name !== 'fs/promises') {
      if (isBuiltin(request) && !WITHIN.has(name)) seen.unrepeatable(request);
      return load(request);
    }
    if (!known.has(name)) known.set(name, files.watched(load(request) as Module));
    return known.get(name);
  };
}

/** Sees what of the environment is asked for; the program's own messages to itself left out. */
export function watchEnvironment(env: NodeJS.ProcessEnv, seen: Observation): NodeJS.ProcessEnv {
  const note = (name: string | symbol) => {
    if (typeof name !== 'symbol' && name !== 'TSBUILD_REAL_UID' && !seen.variables.has(name))
      seen.variables.set(name, env[name]);
  };
  return new Proxy(env, {
    get: (target, name) => {
      note(name);
      return Reflect.get(target, name) as unknown;
    },
    has: (target, name) => {
      note(name);
      return Reflect.has(target, name);
    },
    getOwnPropertyDescriptor: (target, name) => {
      note(name);
      return Reflect.getOwnPropertyDescriptor(target, name);
    },
    set: (target, name, value) => {
      seen.unrepeatable(`the variable ${String(name)} was set`);
      return Reflect.set(target, name, value);
    },
    ownKeys: (target) => {
      seen.unrepeatable('the whole environment was looked at');
      return Reflect.ownKeys(target);
    },
  });
}

/** Packages that may have looked at files unseen. */
export function unseenPackage(loaded: readonly string[]): string | undefined {
  return loaded.find((file) => file.includes('/node_modules/') && !WITHOUT_FILES.test(file));
}

class FileWatch {
  readonly #seen: Observation;
  readonly #leases: string;
  readonly #unseen: readonly string[];
  readonly #work: string;
  readonly #blobs: string;
  readonly #records: string;
  readonly #root: string;

  constructor(root: string, seen: Observation) {
    this.#seen = seen;
    this.#root = `${root}/`;
    this.#leases = join(root, 'leases');
    this.#work = join(root, 'work');
    this.#blobs = join(root, 'content/blobs/');
    this.#records = join(root, 'records/');
    // What is known of files' content follows from their states, accounts of steps say what was; who this process is decides nothing.
    this.#unseen = [
      join(root, 'stat/'),
      join(root, 'steps/'),
      '/proc/self/ns/pid',
      '/proc/self/uid_map',
      `/proc/${process.pid}/stat`,
    ];
  }

  watched(module: Module): Module {
    const watched = Object.create(module) as Record<string, unknown>;
    for (const name of Object.keys(module)) {
      // The classes of streams are made when they are asked for, and so are promises: both take milliseconds.
      if (WITHOUT_PATH.test(name)) continue;
      if (name === 'promises')
        Object.defineProperty(watched, name, { get: () => this.watched(module[name] as Module) });
      else if (typeof module[name] === 'function')
        watched[name] = this.#watchedFunction(name, module[name] as AnyFunction);
    }
    return watched;
  }

  #watchedFunction(name: string, call: AnyFunction): AnyFunction {
    const isLook = LOOKS.test(name);
    return (...args) => {
      if (this.#seen.reason !== undefined) return call(...args);
      const path = typeof args[0] === 'string' ? args[0] : undefined;
      if (path === undefined) {
        this.#seen.unrepeatable(`${name} without a path`);
        return call(...args);
      }
      if (name === 'utimesSync' && path.startsWith(this.#root)) return this.#touch(path, args, call);
      if (this.#isOwn(path)) return call(...args);
      if (name === 'lstatSync' || name === 'statSync') return this.#stat(name, path, args, call);
      if (name === 'readlinkSync') return this.#readLink(path, args, call);
      if (name === 'readFileSync' && path.startsWith(this.#records))
        return this.#readRecord(path, args, call);
      if (isLook || name === 'stat' || isOpenedToRead(name, args)) this.#look(path);
      else this.#seen.unrepeatable(`${name} "${path}"`);
      return call(...args);
    };
  }

  #touch(path: string, args: unknown[], call: AnyFunction): unknown {
    const result = call(...args);
    this.#seen.touched.add(path);
    return result;
  }

  /** Leases, and the places that are known to hold nothing while no other process uses the store. */
  #isOwn(path: string): boolean {
    if (path.startsWith(this.#leases) || path === this.#work || `${path}/` === this.#root) return true;
    return this.#unseen.some((place) => `${path}/`.startsWith(place));
  }

  #stat(name: 'lstatSync' | 'statSync', path: string, args: unknown[], call: AnyFunction): unknown {
    const how = name === 'lstatSync' ? 'link' : 'file';
    const stat = this.#trying(how, path, () => call(...args)) as Stats | undefined;
    if (stat !== undefined && typeof stat.size !== 'number') {
      if (how === 'file') this.#look(path);
      else this.#seen.unrepeatable(`${name} "${path}" in whole numbers`);
    } else if (path.startsWith(this.#blobs)) this.#seeBlob(path, stat);
    else this.#seen.see(how, path, stat);
    return stat;
  }

  #readLink(path: string, args: unknown[], call: AnyFunction): unknown {
    const target = this.#trying('link', path, () => call(...args));
    if (typeof target === 'string') this.#seen.targets.set(path, target);
    else this.#seen.unrepeatable(`the link "${path}" in bytes`);
    return target;
  }

  /** Each use gives a record a new time, so that its text has to tell. */
  #readRecord(path: string, args: unknown[], call: AnyFunction): unknown {
    const text = this.#trying('file', path, () => call(...args));
    if (typeof text === 'string') this.#seen.texts.set(path, text);
    else this.#seen.unrepeatable(`the record "${path}" in bytes`);
    return text;
  }

  /** What fails for another reason than absence is not repeated. */
  #trying(how: 'link' | 'file', path: string, call: () => unknown): unknown {
    try {
      return call();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') this.#seen.see(how, path, undefined);
      else this.#seen.unrepeatable(`"${path}": ${(error as Error).message}`);
      throw error;
    }
  }

  #look(path: string): void {
    const isDevice = /^\/(proc|sys|dev)\//.test(resolve(path));
    if (isDevice) return this.#seen.unrepeatable(`"${path}"`);
    let stat: Stats | undefined;
    try {
      stat = fs.statSync(path, { throwIfNoEntry: false });
    } catch (error) {
      return this.#seen.unrepeatable(`"${path}": ${(error as Error).message}`);
    }
    if (path.startsWith(this.#blobs)) this.#seeBlob(path, stat);
    else this.#seen.see('file', path, stat);
  }

  #seeBlob(path: string, stat: Stats | undefined): void {
    if (stat) this.#seen.blobs.set(path, stat.size);
    else this.#seen.see('file', path, undefined);
  }
}

function isOpenedToRead(name: string, [, flags = 'r']: unknown[]): boolean {
  if (!/^open(Sync)?$/.test(name)) return false;
  const writes = fs.constants.O_WRONLY | fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_TRUNC;
  return typeof flags === 'number' ? (flags & writes) === 0 : flags === 'r';
}
