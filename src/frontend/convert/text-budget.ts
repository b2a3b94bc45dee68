import { BuildError } from '../../errors.js';
import { limitHint, LIMITS } from '../../oci/limits.js';

/**
 * What a Dockerfile may grow to while its variables are expanded and its stages take over what earlier ones have. A few lines
 * that double a variable, or repeat a long list, would otherwise fill the memory.
 */
export class TextBudget {
  #left = LIMITS.expandedTotalBytes;

  /** @throws EXPANSION_FAILED */
  spend(bytes: number): void {
    this.#left -= bytes;
    if (this.#left >= 0) return;
    throw new BuildError(
      'EXPANSION_FAILED',
      `the Dockerfile expands to more than ${LIMITS.expandedTotalBytes} bytes`,
      { hint: `look for variables that contain themselves twice; ${limitHint('expandedTotalBytes')}` },
    );
  }
}

/** Bytes of a list of texts, about. */
export function textBytes(texts: Iterable<string>): number {
  let bytes = 0;
  for (const text of texts) bytes += text.length + 16;
  return bytes;
}
