import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { dirname } from 'node:path';
import { digestHex, digestOf } from '../oci/digest.js';
import { processStamp } from './process-stamp.js';

/**
 * Small files that tell whether they are whole: the first line is the sha256 of the rest. A file that does not verify is
 * removed and counts as absent.
 */
export function readChecked(path: string): string | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
  const body = checkedBody(text);
  if (body === undefined) rmSync(path, { force: true });
  return body;
}

/** What follows the first line, or undefined where the two do not agree. */
export function checkedBody(text: string): string | undefined {
  const end = text.indexOf('\n');
  const body = text.slice(end + 1);
  return digestHex(digestOf(body)) === text.slice(0, end) ? body : undefined;
}

/** Writes under a temporary name and renames, so that a reader sees the old file or the new one. */
export function writeChecked(path: string, body: string): void {
  mkdirSync(dirname(path), { recursive: true });
  replaceFile(path, `${digestHex(digestOf(body))}\n${body}`);
}

/** Gives a file new text, whole or not at all; nothing stays behind when the disk is full. */
export function replaceFile(path: string, text: string): void {
  const temporary = `${path}.${processStamp()}-${randomBytes(4).toString('hex')}`;
  try {
    writeFileSync(temporary, text);
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}
