import { resolve } from 'node:path';
import { BuildError } from '../errors.js';
import { isSpecialFile } from './archive.js';
import type { OutputSpec } from './output-spec.js';

/** Outputs that are written side by side or one after the other; `owner` is the target of a bake file. */
export interface OwnedOutputs {
  readonly owner?: string;
  readonly outputs: readonly OutputSpec[];
}

/**
 * Asks that no output overwrites another one. Targets of a bake file may fill one directory; pipes and devices take everything.
 * @throws USAGE with both
 */
export function requireOwnDestinations(builds: readonly OwnedOutputs[]): void {
  const known = new Map<
    string,
    { readonly output: OutputSpec; readonly text: string; readonly owner?: string }
  >();
  for (const { owner, outputs } of builds)
    for (const output of outputs) {
      const place = placeOf(output);
      if (place === undefined) continue;
      const text = `type=${output.type}${owner === undefined ? '' : ` of target "${owner}"`}`;
      const other = known.get(place);
      known.set(place, { output, text, ...(owner === undefined ? {} : { owner }) });
      if (!other) continue;
      const share = output.type === 'local' && other.output.type === 'local' && other.owner !== owner;
      if (share) continue;
      const named = place === '-' ? 'standard output' : `"${output.dest}"`;
      throw new BuildError('USAGE', `two outputs write to ${named}: ${other.text} and ${text}`, {
        hint: 'give each output a dest of its own',
      });
    }
}

/** Whether an output goes to standard output. */
export function writesStandardOutput(output: OutputSpec): boolean {
  return placeOf(output) === '-';
}

/** Undefined where an output has no file of its own. */
function placeOf({ type, dest }: OutputSpec): string | undefined {
  if (type === 'tar' && dest === undefined) return '-';
  if (dest === undefined || dest === '-') return dest;
  return isSpecialFile(dest) ? undefined : resolve(dest);
}
