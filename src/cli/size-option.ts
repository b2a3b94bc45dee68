import { parseSize } from '../config.js';
import { BuildError } from '../errors.js';

/** The bytes that a flag's `64m`, `1gb` or `4096` stands for. @throws USAGE */
export function parseBytes(flag: string, text: string): number {
  const bytes = parseSize(text);
  if (bytes !== undefined) return bytes;
  throw new BuildError('USAGE', `${flag} "${text}" is not a size`, { hint: 'write it as 64m or 1g' });
}
