import { readFileSync, readlinkSync } from 'node:fs';

/** `<pid>-<start in clock ticks>-<pid namespace>`: names one process of a machine, also after its pid was given away again. */
export type ProcessStamp = string;

const STAMP = /^\.?(\d+)-(\d+)-(\d+)(?![\da-zA-Z])/;

let own: ProcessStamp | undefined;

export function processStamp(): ProcessStamp {
  own ??= `${process.pid}-${startTicks(process.pid)}-${pidNamespace()}`;
  return own;
}

/** The stamp at the start of a file's name, perhaps after a dot. */
export function stampOf(name: string): ProcessStamp | undefined {
  const match = STAMP.exec(name);
  return match ? match.slice(1).join('-') : undefined;
}

/** Whether the process lives; undefined for one of another pid namespace, which cannot be seen from here. */
export function isLiving(stamp: ProcessStamp): boolean | undefined {
  const [pid, ticks, namespace] = stamp.split('-');
  if (namespace !== pidNamespace()) return undefined;
  return startTicks(Number(pid)) === Number(ticks);
}

/** When the process started, in clock ticks since boot; undefined for one that has ended, waited for or not. */
function startTicks(pid: number): number | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  // The second field is the program's name, which may hold anything; the first after it is the third, the state.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' || fields[0] === 'X' ? undefined : Number(fields[19]);
}

let namespaceOfThis: string | undefined;

function pidNamespace(): string {
  namespaceOfThis ??= /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? '0';
  return namespaceOfThis;
}

/** A clock that no one sets. Node loads a module of 2 ms for its other one, `performance`. */
export function uptimeMs(): number {
  return process.uptime() * 1000;
}
