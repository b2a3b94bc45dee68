import { readFileSync } from 'node:fs';

/** One system call of a traced program, with its file descriptors' paths in angle brackets. */
export interface SystemCall {
  readonly pid: number;
  readonly name: string;
  /** From the opening parenthesis to the end of the line: arguments and result. */
  readonly text: string;
  /** Negative where the call failed; undefined where it does not return. */
  readonly result: number | undefined;
}

/** Flags of strace for a trace that `systemCallsOf` reads. Paths are written in full, data is not written. */
export const straceFlags = (trace: string) => [
  '-f',
  '-qq',
  '-y',
  '-s',
  '0',
  '-e',
  'signal=none',
  '-o',
  trace,
];

/**
 * The calls of the program itself and its threads, not those of programs that it started: how many mounts or files an OCI
 * runtime needs depends on its version and on the machine.
 */
export function systemCallsOf(trace: string): SystemCall[] {
  const calls = wholeCalls(readFileSync(trace, 'utf8').split('\n'));
  const own = new Set(calls.slice(0, 1).map(({ pid }) => pid));
  for (const { pid, result } of calls.filter(startsThread)) if (own.has(pid) && result! > 0) own.add(result!);
  return calls.filter(({ pid }) => own.has(pid));
}

const isClone = ({ name }: SystemCall) => ['clone', 'clone3', 'fork', 'vfork'].includes(name);
const startsThread = (call: SystemCall) => isClone(call) && call.text.includes('CLONE_THREAD');

/** Processes that were started, whatever program they then ran. */
export const startsProcess = (call: SystemCall) => isClone(call) && !startsThread(call) && call.result! > 0;

/** A call during which another thread had its turn stands on two lines. */
function wholeCalls(lines: readonly string[]): SystemCall[] {
  const open = new Map<string, string>();
  const calls: SystemCall[] = [];
  for (const line of lines) {
    const [, pid, text] = /^(\d+) +(.*)$/.exec(line) ?? [];
    if (pid === undefined || text === undefined) continue;
    const [begin] = text.split(' <unfinished ...>');
    if (begin !== text) {
      open.set(pid, begin!);
      continue;
    }
    const end = /^<\.\.\. \w+ resumed>(.*)$/.exec(text)?.[1];
    const call = parseCall(Number(pid), end === undefined ? text : `${open.get(pid) ?? ''}${end}`);
    if (call) calls.push(call);
  }
  return calls;
}

function parseCall(pid: number, line: string): SystemCall | undefined {
  const [, name, text] = /^(\w+)(\(.*)$/.exec(line) ?? [];
  if (name === undefined || text === undefined) return undefined;
  const result = / = (-?\d+)/.exec(text.slice(text.lastIndexOf(') ')))?.[1];
  return { pid, name, text, result: result === undefined ? undefined : Number(result) };
}
