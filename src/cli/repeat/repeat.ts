import * as fs from 'node:fs';
import { join } from 'node:path';
import { processStamp } from '../../cache/process-stamp.js';
import { decodeRepeat, encodeRepeat, fingerprint, type Outcome, type RepeatHead } from './repeat-file.js';
import type { Observation } from './observation.js';
import { FIELDS, rowReader } from '../../worker/sys/file-rows.js';
import { isAsBefore, type PathTable } from '../../worker/sys/path-table.js';

/** Below the store's root. */
const REPEATS = 'repeats';
/** Command lines that are remembered for a store. */
const MOST_REPEATS = 64;

const directoryOf = (root: string) => join(root, REPEATS);
const fileOf = (root: string, request: string) => join(directoryOf(root), fingerprint(request)!);

/**
 * The end of an equal command, `request` being all that it was started with, where all that it looked at is as it was; undefined
 * where it has to run. What it marked as used is marked again, and the repeat itself.
 */
export function recall(root: string, request: string, env: NodeJS.ProcessEnv): Outcome | undefined {
  try {
    const repeat = decodeRepeat(fs.readFileSync(fileOf(root, request)));
    if (!repeat) return undefined;
    const { head, files, links } = repeat;
    if (!isSameStore(root, head, env)) return undefined;
    if (!isUnchanged('file', files) || !isUnchanged('link', links)) return undefined;
    const nowSec = Date.now() / 1000;
    for (const path of [...head.touched, fileOf(root, request)]) fs.utimesSync(path, nowSec, nowSec);
    return head;
  } catch {
    // No repeat, or one of something that is gone: the program says what is wrong.
    return undefined;
  }
}

/** Whoever else uses the store, or left something behind in it, is a matter of the whole program. */
function isSameStore(root: string, head: RepeatHead, env: NodeJS.ProcessEnv): boolean {
  return (
    head.variables.every(([name, value]) => fingerprint(env[name]) === value) &&
    fs.readdirSync(join(root, 'leases')).length === 0 &&
    fs.readdirSync(join(root, 'work')).length === 0 &&
    head.texts.every(([path, text]) => fs.readFileSync(path, 'utf8') === text) &&
    head.targets.every(([path, target]) => fs.readlinkSync(path) === target) &&
    head.blobs.every(([path, size]) => fs.statSync(path).size === size)
  );
}

function isUnchanged(how: 'file' | 'link', table: PathTable): boolean {
  using reader = rowReader(how, table.rows.length / FIELDS);
  return isAsBefore(table, reader);
}

/** Keeps how a command ended. A store that cannot be written costs time, nothing else. */
export function keep(root: string, request: string, outcome: Outcome, seen: Observation): void {
  try {
    const data = encodeRepeat(outcome, seen);
    if (data) write(root, fileOf(root, request), data);
  } catch {
    return;
  }
}

function write(root: string, path: string, data: Uint8Array): void {
  const temporary = `${path}.${processStamp()}`;
  fs.mkdirSync(directoryOf(root), { recursive: true, mode: 0o700 });
  dropOldest(directoryOf(root));
  try {
    fs.writeFileSync(temporary, data);
    fs.renameSync(temporary, path);
  } catch (error) {
    fs.rmSync(temporary, { force: true });
    throw error;
  }
}

function dropOldest(directory: string): void {
  const names = fs.readdirSync(directory);
  if (names.length < MOST_REPEATS) return;
  const aged = names.map((name) => {
    const path = join(directory, name);
    return { path, ageMs: fs.statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0 };
  });
  aged.sort((a, b) => a.ageMs - b.ageMs);
  for (const { path } of aged.slice(0, names.length - MOST_REPEATS + 1)) fs.rmSync(path, { force: true });
}
