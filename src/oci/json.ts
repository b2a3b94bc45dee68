import { BuildError } from '../errors.js';
import { limitHint, LIMITS } from './limits.js';

/**
 * Parses a document of a registry or an archive. @throws MANIFEST_INVALID for no JSON, and for brackets so deep that code which
 * walks the document would end for want of stack
 * @param what for the message: `the manifest of "x"`
 */
export function parseJson(bytes: Uint8Array, what: string): unknown {
  if (isTooDeep(bytes))
    throw new BuildError('MANIFEST_INVALID', `${what} is nested deeper than ${LIMITS.jsonDepth} levels`, {
      hint: limitHint('jsonDepth'),
    });
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'));
  } catch (error) {
    throw new BuildError('MANIFEST_INVALID', `${what} is not valid JSON`, { cause: error });
  }
}

const [QUOTE, BACKSLASH, OPEN_SQUARE, CLOSE_SQUARE, OPEN_CURLY, CLOSE_CURLY] = [
  0x22, 0x5c, 0x5b, 0x5d, 0x7b, 0x7d,
];

function isTooDeep(bytes: Uint8Array): boolean {
  let depth = 0;
  let inString = false;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at];
    if (inString) {
      if (byte === BACKSLASH) at += 1;
      else if (byte === QUOTE) inString = false;
    } else if (byte === QUOTE) inString = true;
    else if (byte === OPEN_SQUARE || byte === OPEN_CURLY) {
      if (++depth > LIMITS.jsonDepth) return true;
    } else if (byte === CLOSE_SQUARE || byte === CLOSE_CURLY) depth -= 1;
  }
  return false;
}
