import { execFileSync } from 'node:child_process';
import { closeSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { lockDirectory } from '../../src/worker/sys/flock.js';

/** Pids of living processes whose arguments, joined by spaces, contain the text. */
export function processesWith(text: string): number[] {
  return commandLines(text).map(({ pid }) => pid);
}

/** The arguments of these processes. */
export function commandLinesWith(text: string): string[] {
  return commandLines(text).map(({ line }) => line);
}

function commandLines(text: string): { pid: number; line: string }[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
        return line.includes(text) ? [{ pid: Number(pid), line }] : [];
      } catch {
        return [];
      }
    });
}

/** Descriptors of this process that are ends of pipes. */
export function pipesOfThisProcess(): string[] {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith('pipe:');
    } catch {
      return false;
    }
  });
}

/** Waits until it is so, 20 s at most. */
export async function until(isTrue: () => boolean): Promise<void> {
  for (let tries = 0; !isTrue(); tries++) {
    if (tries > 1000) throw new Error('it did not come to that');
    await sleep(20);
  }
}

/** Sends a command a signal once it is so; `sentMs` says when, on the clock of `performance`. */
export function signalOnce(
  signal: NodeJS.Signals,
  isTrue: (pid: number) => boolean,
): { onStart: (pid: number) => void; sentMs: () => number } {
  let sentMs = 0;
  const onStart = (pid: number) => {
    const look = setInterval(() => {
      if (!isTrue(pid)) return;
      clearInterval(look);
      sentMs = performance.now();
      process.kill(pid, signal);
    }, 20);
  };
  return { onStart, sentMs: () => sentMs };
}

/** A long time for `sleep` that no other test of this machine has in its arguments, for {@link processesWith}. */
export function longSleep(number: number): string {
  return `sleep ${70_000 + number}.${process.pid}`;
}

/** Devices, firewall rules and lock directories of the networks of builds that have ended. Needs root. */
export function networkTraces(): string[] {
  const numbers = names(NETWORKS);
  const living = new Set(numbers.filter((number) => !isFree(join(NETWORKS, number))).map(deviceOf));
  const devices = names('/sys/class/net').filter((name) => /^tsbuild\d+$/.test(name));
  const rules = execFileSync('iptables-save', { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
    .split('\n')
    .flatMap((line) => / --comment (tsbuild\d+) /.exec(line)?.[1] ?? []);
  return [
    ...numbers.map((number) => ({ kind: 'directory', device: deviceOf(number) })),
    ...devices.map((device) => ({ kind: 'device', device })),
    ...rules.map((device) => ({ kind: 'rule', device })),
  ]
    .filter(({ device }) => !living.has(device))
    .map(({ kind, device }) => `${kind} of ${device}`);
}

const NETWORKS = '/run/tsbuild/networks';

function deviceOf(number: string): string {
  return `tsbuild${number}`;
}

function isFree(directory: string): boolean {
  const lock = lockDirectory(directory);
  if (lock !== undefined) closeSync(lock);
  return lock !== undefined;
}

/**
 * What runs or lies about of builds on that store, and the control groups of those processes: nothing, when no command works on
 * it. Others may build beside the tests.
 */
export function tracesOf(root: string, pids: readonly number[]): string[] {
  // What is in the trash is removed beside the command.
  const removing = new Set(processesWith('/.trash-'));
  const traces = processesWith(`${root}/work/`)
    .filter((pid) => !removing.has(pid))
    .map((pid) => `process ${pid}`);
  for (const directory of ['work', 'leases', 'locks', 'content/ingest'])
    traces.push(...names(join(root, directory)).map((name) => `${directory}/${name}`));
  traces.push(...temporaryFiles(root), ...controlGroupsOf(pids));
  return traces.filter((trace) => !/\/\.trash-/.test(trace)).slice(0, 10);
}

/** Of the whole store but `work`, in which something may just be removed. */
function temporaryFiles(root: string): string[] {
  const stamp = /\d+-\d+-\d{8,}/;
  return names(root)
    .filter((name) => name !== 'work' && name !== 'trash')
    .flatMap((name) => [name, ...treeOf(root, name)])
    .filter((path) => stamp.test(path));
}

function treeOf(root: string, directory: string): string[] {
  try {
    const below = readdirSync(join(root, directory), { recursive: true, encoding: 'utf8' });
    return below.map((path) => join(directory, path));
  } catch {
    return [];
  }
}

/** Control groups that those processes made, by themselves or through a runtime. */
export function controlGroupsOf(pids: readonly number[]): string[] {
  const own = new Set(pids.map(String));
  const below = (directory: string, depth: number): string[] =>
    names(directory).flatMap((name) => {
      const path = join(directory, name);
      const pid = /^tsbuild-(\d+)/.exec(name)?.[1];
      if (pid !== undefined) return own.has(pid) ? [path] : [];
      return depth > 0 && !name.includes('.') ? below(path, depth - 1) : [];
    });
  return below('/sys/fs/cgroup', 4);
}

function names(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
