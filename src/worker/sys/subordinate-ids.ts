import { lchownSync } from 'node:fs';
import { userInfo } from 'node:os';
import { textIfThere } from '../../cache/if-there.js';
import { BuildError } from '../../errors.js';
import { isErrno } from './libc.js';
import { realUid } from './namespaces.js';

const FILES = ['/etc/subuid', '/etc/subgid'] as const;
const RANGE = 65_536;
const FIRST = 100_000;

interface IdRange {
  readonly first: number;
  readonly count: number;
}

/** Of `/etc/subuid` and `/etc/subgid` the first one that gives the user no range; undefined where both do. */
export function fileWithoutRange(uid = realUid()): string | undefined {
  const owners = new Set([String(uid), userName(uid)]);
  return FILES.find((file) => !rangesOf(file).some(({ owner, count }) => owners.has(owner) && count > 0));
}

/** The command with which root gives the user ranges that nobody else has. */
export function commandForRanges(uid = realUid()): string {
  const first = firstFreeId(FILES.flatMap((file) => rangesOf(file)));
  const ids = `${first}-${first + RANGE - 1}`;
  return `usermod --add-subuids ${ids} --add-subgids ${ids} ${userName(uid)}`;
}

/** The first of ids enough for an image that are in none of the ranges. */
export function firstFreeId(taken: readonly IdRange[]): number {
  let first = FIRST;
  const clash = () => taken.find((range) => range.first < first + RANGE && first < range.first + range.count);
  for (let range = clash(); range !== undefined; range = clash()) first = range.first + range.count;
  return first;
}

/** The uid as text where it has no name. */
export function userName(uid = realUid()): string {
  // Inside of the user namespace the process is root; the file is that of the user outside.
  const entry = (textIfThere('/etc/passwd') ?? '')
    .split('\n')
    .find((line) => line.split(':')[2] === `${uid}`);
  if (entry) return entry.split(':')[0]!;
  try {
    const own = userInfo();
    return own.uid === uid ? own.username : String(uid);
  } catch {
    return String(uid);
  }
}

/** True where the user namespace holds root alone: no file can have another owner, no process another user. */
export function hasOneIdOnly(): boolean {
  return [...mapOf('uid'), ...mapOf('gid')].every(({ count }) => count === 1);
}

/** @throws NOT_PERMITTED where this process has no such ids; `what` begins the message */
export function requireIds(uid: number, gid: number, what: string): void {
  const error = lackingIds(uid, gid, what);
  if (error) throw error;
}

/** Makes a file or link another's. @throws NOT_PERMITTED where this process has no such ids; `what` begins the message */
export function setOwner(path: string, uid: number, gid: number, what: () => string): void {
  try {
    lchownSync(path, uid, gid);
  } catch (error) {
    throw (isErrno(error, 'EINVAL') ? lackingIds(uid, gid, what()) : undefined) ?? error;
  }
}

function lackingIds(uid: number, gid: number, what: string): BuildError | undefined {
  const lacking = [
    ...(isMapped('uid', uid) ? [] : [`user ${uid}`]),
    ...(isMapped('gid', gid) ? [] : [`group ${gid}`]),
  ].join(' and no ');
  if (lacking === '') return undefined;
  const file = fileWithoutRange();
  const why = file
    ? `${file} gives ${userName()} no range`
    : 'the ranges in /etc/subuid and /etc/subgid are too short';
  return new BuildError('NOT_PERMITTED', `${what}: there is no ${lacking} in the user namespace (${why})`, {
    hint: file ? `as root: ${commandForRanges()}` : 'give the user larger ranges, or run tsbuild as root',
  });
}

function isMapped(kind: 'uid' | 'gid', id: number): boolean {
  return mapOf(kind).some(({ first, count }) => id >= first && id < first + count);
}

const maps: { uid?: readonly IdRange[]; gid?: readonly IdRange[] } = {};

/** Ids inside of the user namespace, in which a process stays. */
function mapOf(kind: 'uid' | 'gid'): readonly IdRange[] {
  return (maps[kind] ??= readMap(kind));
}

function readMap(kind: 'uid' | 'gid'): IdRange[] {
  const lines = (textIfThere(`/proc/self/${kind}_map`) ?? '').split('\n').filter(Boolean);
  return lines.map((line) => {
    const [first, , count] = line.trim().split(/\s+/).map(Number);
    return { first: first!, count: count! };
  });
}

function rangesOf(file: string): (IdRange & { owner: string })[] {
  return (textIfThere(file) ?? '').split('\n').flatMap((line) => {
    const [owner = '', first, count] = line.split(':');
    return Number(count) > 0 ? [{ owner, first: Number(first), count: Number(count) }] : [];
  });
}
