import { mixWords, quickChecksum } from '../../cache/quick-checksum.js';
import type { PathTable } from '../../worker/sys/path-table.js';
import type { Observation } from './observation.js';

/** What a process said in the end. */
export interface Outcome {
  readonly stdout: string;
  readonly stderr: string;
}

type Pairs<T> = readonly (readonly [string, T])[];

/** The small part of a repeat. */
export interface RepeatHead extends Outcome {
  /** With the fingerprints of their values: some are passwords. */
  readonly variables: Pairs<string | null>;
  readonly blobs: Pairs<number>;
  readonly texts: Pairs<string>;
  readonly targets: Pairs<string>;
  readonly touched: readonly string[];
}

/** What is kept of a process so that it can be repeated. */
export interface Repeat {
  readonly head: RepeatHead;
  readonly links: PathTable;
  readonly files: PathTable;
}

const MAGIC = 0x7473_7231;
/** Magic, checksum of the head, lengths of the head, of the names and of the rows of both tables, a zero: 32 bits each. */
const PREFIX_WORDS = 8;

/**
 * The bytes of a repeat, in the machine's own byte order: prefix, rows, head, names. Undefined where a path was two different things.
 */
export function encodeRepeat(outcome: Outcome, seen: Observation): Buffer | undefined {
  // A file that was read and looked at is compared once: where its row is that of the link, it is none.
  const [links, files] = [seen.links.grouped(), seen.files.grouped(seen.links)];
  if (!links || !files) return undefined;
  const tables = [links, files];
  const head: RepeatHead = {
    ...outcome,
    variables: [...seen.variables].map(([name, value]) => [name, fingerprint(value)] as const),
    blobs: [...seen.blobs],
    texts: [...seen.texts],
    targets: [...seen.targets],
    touched: [...seen.touched],
  };
  const names = tables.map((table) => Buffer.from(table.names));
  const text = Buffer.from(JSON.stringify(head));
  // Whole words, so that its checksum is quick.
  const padded = Buffer.concat([text, Buffer.alloc(-text.length & 3, ' ')]);
  const rows = tables.map(({ rows: { buffer, byteLength } }) => Buffer.from(buffer, 0, byteLength));
  const lengths = [padded, ...names, ...rows].map((part) => part.length);
  const data = Buffer.concat([Buffer.alloc(PREFIX_WORDS * 4), ...rows, padded, ...names]);
  new Uint32Array(data.buffer, data.byteOffset, PREFIX_WORDS).set([MAGIC, quickChecksum(padded), ...lengths]);
  return data;
}

/** Undefined for what is no whole repeat. Damage in a table needs no search: then some file is not what it says. */
export function decodeRepeat(read: Buffer): Repeat | undefined {
  const data = read.byteOffset % 8 === 0 ? read : Buffer.from(Uint8Array.from(read).buffer);
  if (data.length < PREFIX_WORDS * 4) return undefined;
  const prefix = new Uint32Array(data.buffer, data.byteOffset, PREFIX_WORDS);
  const [magic, sum, headLength = 0, linkNames = 0, fileNames = 0, linkRows = 0, fileRows = 0] = prefix;
  if (magic !== MAGIC) return undefined;
  let at = PREFIX_WORDS * 4;
  const take = (length: number) => data.subarray(at, (at += length));
  const [links, files] = [rowsOf(take(linkRows)), rowsOf(take(fileRows))];
  const head = take(headLength);
  if (quickChecksum(head) !== sum) return undefined;
  return {
    head: JSON.parse(head.toString()) as RepeatHead,
    links: { names: take(linkNames).toString(), rows: links },
    files: { names: take(fileNames).toString(), rows: files },
  };
}

function rowsOf(part: Buffer): Float64Array {
  return new Float64Array(part.buffer, part.byteOffset, part.length / 8);
}

/** 128 bits that tell a text from others that come by chance, and from which nobody gets the text. Null for no text. */
export function fingerprint(text: string | undefined): string | null {
  if (text === undefined) return null;
  const words = Uint32Array.from(text, (letter) => letter.codePointAt(0)!);
  const lanes = [...mixWords(words), ...mixWords(words.reverse())];
  return lanes.map((lane) => (lane >>> 0).toString(16).padStart(8, '0')).join('');
}
