import { closeSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createHash, randomBytes } from 'node:crypto';
import { dirname, join } from 'node:path';
import { type Digest, digestFromHash, digestHex, digestOf } from '../oci/digest.js';
import { processStamp } from './process-stamp.js';
import { writeAll } from './write-all.js';

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
  if (body.length > TEXT_BLOCK) return writeCheckedTexts(path, [body]);
  mkdirSync(dirname(path), { recursive: true });
  replaceFile(path, `${digestHex(digestOf(body))}\n${body}`);
}

const TEXT_BLOCK = 1 << 18;
const HEX_DIGITS = 64;

/**
 * As `writeChecked`, of a JSON array whose rows come one by one: its text, several times the size of what it says, is never in
 * memory as a whole.
 * @param around what stands before and after the array
 */
export function writeCheckedRows(
  path: string,
  rows: Iterable<unknown>,
  [before, after]: readonly [string, string] = ['', ''],
): void {
  writeCheckedTexts(path, arrayText(rows, before, after));
}

/** The same with a file that is named by the digest of its text. */
export function writeNamedRows(directory: string, rows: Iterable<unknown>): Digest {
  mkdirSync(directory, { recursive: true });
  let digest: Digest | undefined;
  replaceBy(join(directory, 'rows'), (temporary) => {
    digest = writeTexts(temporary, arrayText(rows, '', ''));
    return join(directory, digestHex(digest));
  });
  return digest!;
}

function writeCheckedTexts(path: string, texts: Iterable<string>): void {
  mkdirSync(dirname(path), { recursive: true });
  replaceBy(path, (temporary) => {
    writeTexts(temporary, texts);
    return path;
  });
}

/** Gives the digest of the text. */
function writeTexts(path: string, texts: Iterable<string>): Digest {
  const fd = openSync(path, 'wx');
  try {
    const hash = createHash('sha256');
    let at = HEX_DIGITS + 1;
    for (const block of encoded(texts)) {
      hash.update(block);
      writeAll(fd, block, at);
      at += block.length;
    }
    const digest = digestFromHash(hash);
    writeAll(fd, Buffer.from(`${digestHex(digest)}\n`), 0);
    return digest;
  } finally {
    closeSync(fd);
  }
}

function* arrayText(rows: Iterable<unknown>, before: string, after: string): Generator<string> {
  let text = `${before}[`;
  let separator = '';
  for (const row of rows) {
    text += separator + JSON.stringify(row);
    separator = ',';
    if (text.length < TEXT_BLOCK) continue;
    yield text;
    text = '';
  }
  yield `${text}]${after}`;
}

/** Each block is valid until the next one is asked for. */
function* encoded(texts: Iterable<string>): Generator<Buffer> {
  const encoder = new TextEncoder();
  const buffer = Buffer.allocUnsafe(2 * TEXT_BLOCK);
  for (const text of texts) {
    for (let at = 0; at < text.length;) {
      const { read, written } = encoder.encodeInto(text.slice(at), buffer);
      yield buffer.subarray(0, written);
      at += read;
    }
  }
}

/** Gives a file new text, whole or not at all; nothing stays behind when the disk is full. */
export function replaceFile(path: string, text: string): void {
  replaceBy(path, (temporary) => {
    writeFileSync(temporary, text);
    return path;
  });
}

/** The same with bytes that come part by part; each part is valid until the next one is asked for. */
export function replaceByParts(path: string, parts: Iterable<Uint8Array>): void {
  mkdirSync(dirname(path), { recursive: true });
  replaceBy(path, (temporary) => {
    const fd = openSync(temporary, 'wx');
    try {
      let at = 0;
      for (const part of parts) {
        writeAll(fd, part, at);
        at += part.length;
      }
    } finally {
      closeSync(fd);
    }
    return path;
  });
}

/** @param write writes a temporary file and gives the path that it is to have */
function replaceBy(beside: string, write: (temporary: string) => string): void {
  const temporary = `${beside}.${processStamp()}-${randomBytes(4).toString('hex')}`;
  try {
    renameSync(temporary, write(temporary));
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}
