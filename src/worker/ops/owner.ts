import { BuildError } from '../../errors.js';
import type { Owner } from '../../graph/op.js';

export interface Ids {
  readonly uid: number;
  readonly gid: number;
}

/** The text of a file of the base image; empty when it is not there. */
export type FileReader = (path: string) => string;

/**
 * `--chown` and the owner of WORKDIR: numbers as they are, a user's number is its group too; names from passwd and group. A
 * name that the image does not know stands for root, as with BuildKit; `onUnknown` hears of it.
 */
export function resolveOwner(owner: Owner, read: FileReader, onUnknown: (message: string) => void): Ids {
  const ids = owner.user === '' ? { uid: 0, gid: 0 } : userIds(owner.user, read, onUnknown);
  if (owner.group === undefined || owner.group === '') return ids;
  return { uid: ids.uid, gid: groupId(owner.group, read, onUnknown) ?? ids.gid };
}

/** @throws INVALID_VALUE for a name where there is no image that could know it: on scratch, and with `--link` */
export function refuseNames({ user, group = '' }: Owner): void {
  for (const name of [user, group]) {
    if (name === '' || name === 'root' || /^\d+$/.test(name)) continue;
    throw new BuildError('INVALID_VALUE', `there is no /etc/passwd or /etc/group that knows "${name}"`, {
      hint: 'scratch has no users, and --link does not look at the image: write a number such as 1000:1000',
    });
  }
}

function userIds(user: string, read: FileReader, onUnknown: (message: string) => void): Ids {
  if (/^\d+$/.test(user)) return { uid: checkedId(user), gid: checkedId(user) };
  const fields = findLine(read('etc/passwd'), user);
  if (fields) return { uid: checkedId(fields[2]!), gid: checkedId(fields[3] ?? '') };
  onUnknown(`user "${user}" is not in the image's /etc/passwd; the files belong to root`);
  return { uid: 0, gid: 0 };
}

function groupId(group: string, read: FileReader, onUnknown: (message: string) => void): number | undefined {
  if (/^\d+$/.test(group)) return checkedId(group);
  if (group === 'root') return 0;
  const fields = findLine(read('etc/group'), group);
  if (fields) return checkedId(fields[2]!);
  onUnknown(`group "${group}" is not in the image's /etc/group; the user's own is taken`);
  return undefined;
}

function findLine(text: string, name: string): string[] | undefined {
  return text
    .split('\n')
    .map((line) => line.trim().split(':'))
    .find((fields) => fields[0] === name && /^\d+$/.test(fields[2] ?? ''));
}

/** An image's lines may be broken: what is no number counts as root's. */
function checkedId(text: string): number {
  const id = /^\d+$/.test(text) ? Number(text) : 0;
  if (id < 2 ** 32 - 1) return id;
  throw new BuildError('INVALID_VALUE', `the id ${text.slice(0, 40)} is out of range`, {
    hint: 'ids go from 0 to 4294967294',
  });
}
