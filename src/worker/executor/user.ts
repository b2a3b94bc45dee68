import { BuildError } from '../../errors.js';

/** Who a process runs as. */
export interface ProcessUser {
  readonly uid: number;
  readonly gid: number;
  /** The primary group first, then the supplementary ones; each once. */
  readonly additionalGids: readonly number[];
}

/** Text of an image's files, empty where a file is missing. */
export interface UserFiles {
  readonly passwd: string;
  readonly group: string;
}

interface PasswdEntry {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

interface GroupEntry {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

const LARGEST_ID = 2 ** 31 - 1;

/**
 * Resolves USER: `uid:gid` in digits is taken as it is; else a name or uid is looked up in passwd (an unknown uid has group
 * 0) and a group in group. Supplementary groups come from group, but only where USER names no group. Empty is root.
 * @throws USER_NOT_FOUND
 */
export function resolveUser(user: string, files: UserFiles): ProcessUser {
  const ids = /^(\d+):(\d+)$/.exec(user);
  if (ids) return createUser(checkId(ids[1]!, user), checkId(ids[2]!, user), []);
  const separator = user.indexOf(':');
  const name = (separator < 0 ? user : user.slice(0, separator)) || '0';
  const groupName = separator < 0 ? '' : user.slice(separator + 1);
  const entry = findEntry(name, files.passwd);
  if (entry === undefined && !isNumber(name)) {
    throw new BuildError('USER_NOT_FOUND', `user "${name}" is not in the image's /etc/passwd`, {
      hint: 'create it in an earlier RUN, or use a number',
    });
  }
  const uid = entry?.uid ?? checkId(name, user);
  const groups = parseGroup(files.group);
  if (groupName !== '') return createUser(uid, findGroup(groupName, groups, user), []);
  const supplementary = groups.filter((group) => entry && group.members.includes(entry.name));
  return createUser(
    uid,
    entry?.gid ?? 0,
    supplementary.map((group) => group.gid),
  );
}

/** Home directory of a uid: `/` where passwd does not know it. */
export function homeOf(uid: number, passwd: string): string {
  return parsePasswd(passwd).find((entry) => entry.uid === uid)?.home || '/';
}

function findEntry(name: string, passwd: string): PasswdEntry | undefined {
  return parsePasswd(passwd).find(
    (entry) => entry.name === name || (isNumber(name) && entry.uid === Number(name)),
  );
}

function findGroup(name: string, groups: readonly GroupEntry[], user: string): number {
  const group = groups.find((entry) => entry.name === name || (isNumber(name) && entry.gid === Number(name)));
  if (group) return group.gid;
  if (isNumber(name)) return checkId(name, user);
  throw new BuildError('USER_NOT_FOUND', `group "${name}" is not in the image's /etc/group`, {
    hint: 'create it in an earlier RUN, or use a number',
  });
}

function createUser(uid: number, gid: number, supplementary: readonly number[]): ProcessUser {
  const additionalGids = [...new Set([gid, ...supplementary])];
  const outside = [uid, ...additionalGids].find((id) => id > LARGEST_ID);
  if (outside === undefined) return { uid, gid, additionalGids };
  throw new BuildError('USER_NOT_FOUND', `the image's /etc/passwd or /etc/group has the id ${outside}`, {
    hint: `ids go from 0 to ${LARGEST_ID}`,
  });
}

function isNumber(text: string): boolean {
  return /^\d+$/.test(text);
}

function checkId(text: string, user: string): number {
  const id = Number(text);
  if (id <= LARGEST_ID) return id;
  throw new BuildError('USER_NOT_FOUND', `user "${user}" is out of range: ids go from 0 to ${LARGEST_ID}`);
}

function parsePasswd(text: string): PasswdEntry[] {
  return fieldsOf(text).map(([name = '', , uid, gid, , home = '']) => ({
    name,
    uid: numberOf(uid),
    gid: numberOf(gid),
    home,
  }));
}

function parseGroup(text: string): GroupEntry[] {
  return fieldsOf(text).map(([name = '', , gid, members = '']) => ({
    name,
    gid: numberOf(gid),
    members: members.split(','),
  }));
}

function fieldsOf(text: string): string[][] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean)
    .map((line) => line.split(':').map((field) => field.trim()));
}

/** Images carry broken lines; a number that is none counts as 0, as it does for other builders. */
function numberOf(text: string | undefined): number {
  return isNumber(text ?? '') ? Number(text) : 0;
}
