import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import type { BuiltImage } from './case.js';

interface TarEntry {
  readonly name: string;
  readonly type: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: number;
  readonly link: string;
  readonly device: string;
  readonly xattrs: string;
  readonly data: Buffer;
}

interface Archive {
  readonly config: ImageConfig;
  readonly tree: Tree;
}

interface ImageConfig {
  readonly config?: Record<string, unknown>;
  readonly history?: readonly { readonly created_by?: string; readonly empty_layer?: boolean }[];
  readonly rootfs: { readonly diff_ids: readonly string[] | null };
  readonly [key: string]: unknown;
}

type Tree = Map<string, TarEntry>;

const layersRead = new Map<string, readonly TarEntry[]>();

/** Reads an image from a docker archive without any code of the builder. */
export function readArchive(file: string): Archive {
  const members = new Map(readTar(readFileSync(file)).map((entry) => [entry.name, entry.data]));
  const manifests = JSON.parse(String(members.get('manifest.json'))) as {
    readonly Config: string;
    readonly Layers: readonly string[] | null;
  }[];
  const { Config, Layers } = manifests[0]!;
  const tree: Tree = new Map();
  for (const name of Layers ?? []) apply(tree, readLayer(members.get(name)!));
  return { config: JSON.parse(String(members.get(Config))) as ImageConfig, tree };
}

/** The image in the form of the record, without what it shares with `base` where it is built on it. */
export function describeImage(image: Archive, base: Archive): BuiltImage {
  const layers = image.config.rootfs.diff_ids ?? [];
  const onBase = layers[0] === base.config.rootfs.diff_ids?.[0];
  const before = onBase ? describeTree(base.tree) : {};
  const after = describeTree(image.tree);
  const paths = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
  const { author, architecture, os, variant } = image.config;
  return {
    tree: Object.fromEntries(
      paths.filter((path) => before[path] !== after[path]).map((path) => [path, after[path] ?? null]),
    ),
    config: withoutEmpty({ ...image.config.config, author, architecture, os, variant }),
    history: (image.config.history ?? [])
      .slice(onBase ? base.config.history!.length : 0)
      .map((entry) => `${entry.created_by}${entry.empty_layer ? ' (no layer)' : ''}`),
    layers: layers.length,
  };
}

export const withoutTime = (line: string | null) => line?.replace(/ @\d+$/, '') ?? null;

function withoutEmpty(record: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.keys(record)
      .sort()
      .filter((key) => record[key] !== undefined && record[key] !== null && record[key] !== '')
      .map((key) => [key, record[key]]),
  );
}

/** A line for each path: type, mode, owner, size or link, digest, other names, xattrs, and the time after an `@`. */
export function describeTree(tree: Tree): Record<string, string> {
  const names = new Map<TarEntry, string[]>();
  for (const [path, entry] of tree) names.set(entry, [...(names.get(entry) ?? []), path]);
  return Object.fromEntries(
    [...tree].map(([path, entry]) => {
      const same = names.get(entry)!;
      const parts = [
        entry.type,
        entry.mode.toString(8),
        `${entry.uid}:${entry.gid}`,
        ...(entry.type === 'file' ? [entry.data.length, sha256(entry.data)] : []),
        ...(entry.type === 'symlink' ? [`-> ${entry.link}`] : []),
        ...(entry.device === '' ? [] : [entry.device]),
        ...(same.length > 1 ? [`= ${same.sort().join(' = ')}`] : []),
        ...(entry.xattrs === '' ? [] : [entry.xattrs]),
        `@${entry.mtime}`,
      ];
      return [path, parts.join(' ')];
    }),
  );
}

const sha256 = (data: Buffer) => createHash('sha256').update(data).digest('hex');

function readLayer(data: Buffer): readonly TarEntry[] {
  const key = sha256(data);
  const known = layersRead.get(key);
  if (known) return known;
  const entries = readTar(data[0] === 0x1f && data[1] === 0x8b ? gunzipSync(data) : data);
  layersRead.set(key, entries);
  return entries;
}

/** Puts a layer on a tree; whiteouts concern only what is below. */
function apply(tree: Tree, layer: readonly TarEntry[]): void {
  const below = [...tree.keys()];
  const added = new Set<string>();
  const remove = (path: string, itself: boolean) => {
    if (itself && !added.has(path)) tree.delete(path);
    for (const name of below) if (name.startsWith(`${path}/`) && !added.has(name)) tree.delete(name);
  };
  for (const entry of layer) {
    const path = `/${entry.name}`.replace(/^\/(\.?\/)*/, '/').replace(/(?<=.)\/+$/, '');
    const [, dir, name] = /^(.*)\/([^/]*)$/.exec(path)!;
    if (name === '' || name === '.') continue;
    if (name === '.wh..wh..opq') remove(dir!, false);
    else if (name!.startsWith('.wh.')) remove(`${dir}/${name!.slice(4)}`, true);
    else {
      if (entry.type !== 'directory' && tree.get(path)?.type === 'directory') remove(path, true);
      const target =
        entry.type === 'hard link' ? tree.get(`/${entry.link}`.replace(/^\/+(\.\/)?/, '/')) : entry;
      if (!target) throw new Error(`${path} is a link to ${entry.link}, which is not there`);
      tree.set(path, target);
      added.add(path);
    }
  }
}

const TYPES: Readonly<Record<string, string>> = {
  '\0': 'file',
  '0': 'file',
  '1': 'hard link',
  '2': 'symlink',
  '3': 'char',
  '4': 'block',
  '5': 'directory',
  '6': 'fifo',
};

function readTar(tar: Buffer): TarEntry[] {
  const entries: TarEntry[] = [];
  let pax: Record<string, Buffer> = {};
  for (let offset = 0; offset + 512 <= tar.length && tar[offset] !== 0;) {
    const header = tar.subarray(offset, offset + 512);
    const size = pax['size'] ? Number(pax['size']) : numberIn(header, 124, 12);
    const data = tar.subarray(offset + 512, offset + 512 + size);
    offset += 512 + Math.ceil(size / 512) * 512;
    const flag = String.fromCharCode(header[156]!);
    if (flag === 'x') pax = readPax(data);
    else if (flag === 'L') pax = { ...pax, path: data.subarray(0, data.indexOf(0)) };
    else if (flag === 'K') pax = { ...pax, linkpath: data.subarray(0, data.indexOf(0)) };
    else if (flag !== 'g') {
      entries.push(entryOf(header, flag, pax, data));
      pax = {};
    }
  }
  return entries;
}

function entryOf(header: Buffer, flag: string, pax: Record<string, Buffer>, data: Buffer): TarEntry {
  const prefix = header.toString('latin1', 257, 263) === 'ustar\0' ? textIn(header, 345, 155) : '';
  const own = textIn(header, 0, 100);
  const xattrs = Object.keys(pax)
    .filter((key) => key.startsWith('SCHILY.xattr.'))
    .sort()
    .map((key) => `${key.slice('SCHILY.xattr.'.length)}=${pax[key]!.toString('hex')}`);
  const device = flag === '3' || flag === '4';
  return {
    name: pax['path']?.toString('utf8') ?? (prefix === '' ? own : `${prefix}/${own}`),
    type: TYPES[flag]!,
    mode: numberIn(header, 100, 8) & 0o7777,
    uid: pax['uid'] ? Number(pax['uid']) : numberIn(header, 108, 8),
    gid: pax['gid'] ? Number(pax['gid']) : numberIn(header, 116, 8),
    mtime: pax['mtime'] ? Math.floor(Number(pax['mtime'])) : numberIn(header, 136, 12),
    link: pax['linkpath']?.toString('utf8') ?? textIn(header, 157, 100),
    device: device ? `${numberIn(header, 329, 8)},${numberIn(header, 337, 8)}` : '',
    xattrs: xattrs.join(' '),
    data,
  };
}

function readPax(data: Buffer): Record<string, Buffer> {
  const records: Record<string, Buffer> = {};
  for (let at = 0; at < data.length;) {
    const space = data.indexOf(0x20, at);
    const end = at + Number(data.toString('latin1', at, space));
    const equals = data.indexOf(0x3d, space);
    records[data.toString('utf8', space + 1, equals)] = data.subarray(equals + 1, end - 1);
    at = end;
  }
  return records;
}

function textIn(header: Buffer, start: number, length: number): string {
  const field = header.subarray(start, start + length);
  const end = field.indexOf(0);
  return field.toString('utf8', 0, end < 0 ? length : end);
}

function numberIn(header: Buffer, start: number, length: number): number {
  if (header[start]! >= 0x80) return Number(BigInt(`0x${header.toString('hex', start + 1, start + length)}`));
  return Number.parseInt(textIn(header, start, length).trim() || '0', 8);
}
