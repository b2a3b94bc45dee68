import { isUtf8 } from 'node:buffer';
import { readdirSync, readlinkSync } from 'node:fs';
import { BuildError } from '../../errors.js';

/** What Node puts in place of bytes that are not UTF-8. */
const REPLACEMENT = '\uFFFD';

/**
 * Names of a directory's entries, in no order. Names are texts everywhere in this program, so one that is none would become another
 * file's, or nobody's.
 * @throws FILE_OPERATION_FAILED for a name that is not UTF-8; errors of the file system
 */
export function listNames(directory: string): string[] {
  const names = readdirSync(directory);
  if (names.some((name) => name.includes(REPLACEMENT))) {
    const bad = readdirSync(directory, { encoding: 'buffer' }).find((name) => !isUtf8(name));
    if (bad) throw notUtf8(`"${directory}" has a file whose name`, bad);
  }
  return names;
}

/** @throws FILE_OPERATION_FAILED for a target that is not UTF-8; errors of the file system */
export function readLinkTarget(link: string): string {
  const target = readlinkSync(link);
  if (target.includes(REPLACEMENT)) {
    const bytes = readlinkSync(link, { encoding: 'buffer' });
    if (!isUtf8(bytes)) throw notUtf8(`"${link}" is a link whose target`, bytes);
  }
  return target;
}

function notUtf8(what: string, bytes: Buffer): BuildError {
  const shown = bytes
    .toString('latin1')
    .replace(/[^\x20-\x7e]/g, (byte) => `\\x${byte.charCodeAt(0).toString(16).padStart(2, '0')}`);
  return new BuildError('FILE_OPERATION_FAILED', `${what} is not UTF-8: "${shown}"`, {
    hint: 'give it another name, such as convmv finds, or remove it',
  });
}
