import { createHash } from 'node:crypto';
import { lstatSync, readFileSync, readlinkSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { getXattr, listXattrs } from '../../src/worker/sys/syscalls.js';
import { mustRun } from './cli.js';
import { tmpDir } from './tmp-dir.js';

/** What an image holds, for a comparison: no times. */
export interface TreeEntry {
  readonly type: string;
  readonly mode: string;
  readonly uid: number;
  readonly gid: number;
  readonly size?: number;
  readonly digest?: string;
  readonly link?: string;
  readonly device?: number;
  /** Names of the same inode, sorted, where there are several. */
  readonly names?: readonly string[];
  readonly xattrs?: Readonly<Record<string, string>>;
}

export interface ImageContent {
  readonly config: Record<string, unknown>;
  readonly layers: number;
  readonly tree: Readonly<Record<string, TreeEntry>>;
}

/** Reads a docker archive with skopeo and umoci, so that no code of ours takes part. Needs root. */
export async function readDockerArchive(archive: string): Promise<ImageContent> {
  const dir = tmpDir();
  await mustRun('skopeo', ['copy', '-q', `docker-archive:${archive}`, `oci:${dir}/oci:image`]);
  return readOciLayout(`${dir}/oci`, 'image');
}

export async function readOciLayout(layout: string, tag: string): Promise<ImageContent> {
  const dir = tmpDir();
  const config = JSON.parse(
    await mustRun('skopeo', ['inspect', '--config', `oci:${layout}:${tag}`]),
  ) as Record<string, unknown>;
  await mustRun('umoci', ['unpack', '--image', `${layout}:${tag}`, `${dir}/bundle`]);
  const rootfs = config['rootfs'] as { diff_ids: string[] };
  return { config, layers: rootfs.diff_ids.length, tree: readTree(join(dir, 'bundle/rootfs')) };
}

/** Every path below `root`, with what makes it equal to another. */
export function readTree(root: string): Record<string, TreeEntry> {
  const entries: Record<string, TreeEntry> = {};
  const inodes = new Map<number, string[]>();
  const visit = (path: string) => {
    const file = join(root, path);
    const stat = lstatSync(file);
    const key = path === '' ? '/' : path;
    entries[key] = entryOf(file, stat);
    if (stat.isFile() && stat.nlink > 1) inodes.set(stat.ino, [...(inodes.get(stat.ino) ?? []), key]);
    if (stat.isDirectory()) for (const name of readdirSync(file).sort()) visit(`${path}/${name}`);
  };
  visit('');
  for (const names of inodes.values()) {
    if (names.length < 2) continue;
    for (const name of names) entries[name] = { ...entries[name]!, names };
  }
  return entries;
}

function entryOf(file: string, stat: ReturnType<typeof lstatSync> & object): TreeEntry {
  const names = listXattrs(file).filter(
    (name) => !name.startsWith('user.rootlesscontainers') && !name.startsWith('trusted.'),
  );
  return {
    type: typeOf(stat),
    mode: (Number(stat.mode) & 0o7777).toString(8),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    ...(stat.isFile()
      ? { size: Number(stat.size), digest: createHash('sha256').update(readFileSync(file)).digest('hex') }
      : {}),
    ...(stat.isSymbolicLink() ? { link: readlinkSync(file) } : {}),
    ...(stat.isCharacterDevice() || stat.isBlockDevice() ? { device: Number(stat.rdev) } : {}),
    ...(names.length > 0
      ? { xattrs: Object.fromEntries(names.map((name) => [name, getXattr(file, name)!.toString('base64')])) }
      : {}),
  };
}

function typeOf(stat: ReturnType<typeof lstatSync> & object): string {
  if (stat.isFile()) return 'file';
  if (stat.isDirectory()) return 'directory';
  if (stat.isSymbolicLink()) return 'symlink';
  if (stat.isFIFO()) return 'fifo';
  return stat.isCharacterDevice() ? 'char' : 'block';
}

/** Leaves of `a` and `b` that differ, as `path: a's value <> b's value`. */
export function differences(a: unknown, b: unknown, path = ''): string[] {
  if (isRecord(a) && isRecord(b)) {
    const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])].sort();
    return keys.flatMap((key) => differences(a[key], b[key], path === '' ? key : `${path}.${key}`));
  }
  return JSON.stringify(a) === JSON.stringify(b)
    ? []
    : [`${path}: ${JSON.stringify(a)} <> ${JSON.stringify(b)}`];
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
