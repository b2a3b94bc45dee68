import { BuildError } from '../../errors.js';
import type { Owner } from '../../graph/op.js';

export interface Ids {
  readonly uid: number;
  readonly gid: number;
}

/** The text of a file of the base image; empty when it is not there. */
export type FileReader = (path: string) => string;

/**
 * `--chown` and the owner of WORKDIR: numbers as they are, a user's number is its group too; names from passwd and group.
 * @throws USER_NOT_FOUND for a name that the image does not know
 */
export function resolveOwner(owner: Owner, read: FileReader): Ids {
  const ids = owner.user === '' ? { uid: 0, gid: 0 } : userIds(owner.user, read);
  if (owner.group === undefined || owner.group === '') return ids;
  return { uid: ids.uid, gid: groupId(owner.group, read) };
}

/** The same, undefined for a name that the image does not know. */
export function findOwner(owner: Owner, read: FileReader): Ids | undefined {
  try {
    return resolveOwner(owner, read);
  } catch {
    return undefined;
  }
}

function userIds(user: string, read: FileReader): Ids {
  if (/^\d+$/.test(user)) return { uid: Number(user), gid: Number(user) };
  const fields = findLine(read('etc/passwd'), user);
  if (!fields) throw unknown('user', user, '/etc/passwd');
  return { uid: Number(fields[2]), gid: Number(fields[3]) };
}

function groupId(group: string, read: FileReader): number {
  if (/^\d+$/.test(group)) return Number(group);
  const fields = findLine(read('etc/group'), group);
  if (!fields) throw unknown('group', group, '/etc/group');
  return Number(fields[2]);
}

function findLine(text: string, name: string): string[] | undefined {
  return text
    .split('\n')
    .map((line) => line.trim().split(':'))
    .find((fields) => fields[0] === name && /^\d+$/.test(fields[2] ?? ''));
}

function unknown(kind: string, name: string, file: string): BuildError {
  return new BuildError('USER_NOT_FOUND', `${kind} "${name}" is not in the image's ${file}`, {
    hint: `create it in an earlier RUN, or use a number`,
  });
}
