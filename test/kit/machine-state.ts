import { execFileSync } from 'node:child_process';
import { closeSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isLiving, stampOf } from '../../src/cache/process-stamp.js';
import { lockDirectory } from '../../src/worker/sys/flock.js';

/** Pids of living processes whose arguments, joined by spaces, contain the text. */
export function processesWith(text: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').includes(text);
      } catch {
        return false;
      }
    })
    .map(Number);
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
 * What runs or lies about of builds on that store, and control groups of the process with that pid: nothing, when no command
 * works on it. Others may build beside the tests.
 */
export function tracesOf(root: string, pid?: number): string[] {
  // What is in the trash is removed beside the command.
  const removing = new Set(processesWith('/.trash-'));
  const traces = processesWith(`${root}/work/`)
    .filter((pid) => !removing.has(pid))
    .map((pid) => `process ${pid}`);
  for (const directory of ['work', 'leases', 'locks', 'content/ingest'])
    traces.push(...names(join(root, directory)).map((name) => `${directory}/${name}`));
  traces.push(...temporaryFiles(root), ...controlGroups('/sys/fs/cgroup', 4, pid));
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

function controlGroups(directory: string, depth: number, pid: number | undefined): string[] {
  return names(directory).flatMap((name) => {
    const path = join(directory, name);
    const stamp = name.startsWith('tsbuild-') ? stampOf(name.slice('tsbuild-'.length)) : undefined;
    if (stamp !== undefined) return isLeft(stamp, pid) ? [path] : [];
    return depth > 0 && !name.includes('.') ? controlGroups(path, depth - 1, pid) : [];
  });
}

function isLeft(stamp: string, pid: number | undefined): boolean {
  return (pid === undefined || stamp.startsWith(`${pid}-`)) && !isLiving(stamp);
}

function names(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
