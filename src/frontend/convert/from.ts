import { BuildError, locateError, type SourceLocation } from '../../errors.js';
import { parsePlatform, type Platform } from '../../oci/platform.js';
import type { FromCommand } from '../command.js';
import type { Expansion } from '../expansion.js';
import { lintDefaultBase, suggestion } from '../lint/file-rules.js';
import type { Linter } from '../lint/linter.js';
import type { Stage } from '../stages.js';
import type { GlobalScope } from './global-scope.js';

/** FROM with its variables expanded. */
export interface ExpandedFrom {
  readonly image: string;
  /** Only where `--platform` is written. */
  readonly platform?: Platform;
  /** Names of the ARGs that it uses. */
  readonly uses: readonly string[];
}

/** Expands FROM of all stages, also of those that are not built, and asks the rules about it. @throws INVALID_VALUE */
export function expandFroms(stages: readonly Stage[], globals: GlobalScope, linter: Linter): ExpandedFrom[] {
  return stages.map(({ from }) => {
    const image = globals.expand(from.image, from.location);
    lintUndeclared(image, globals, from.location, linter);
    if (image.value === '') {
      throw new BuildError('INVALID_VALUE', `base name (${from.image}) should not be blank`, {
        hint: 'give the ARG a default before FROM, or set it with --build-arg',
        location: from.location,
      });
    }
    if (!from.platform) return { image: image.value, uses: image.used };
    const { platform, uses } = expandPlatform(from, from.platform, globals, linter);
    return { image: image.value, platform, uses: [...image.used, ...uses] };
  });
}

function expandPlatform(from: FromCommand, written: string, globals: GlobalScope, linter: Linter) {
  const { location, stageName = '' } = from;
  const expansion = globals.expand(written, location);
  lintUndeclared(expansion, globals, location, linter);
  const { value, used, unmatched } = expansion;
  if (
    used.join() === 'TARGETPLATFORM' &&
    unmatched.length === 0 &&
    value === globals.values.get('TARGETPLATFORM')
  )
    linter.report(
      'RedundantTargetPlatform',
      `Setting platform to predefined ${written} in FROM is redundant as this is the default behavior`,
      location,
    );
  if (value === '') {
    throw new BuildError('INVALID_VALUE', `empty platform value from expression ${written}`, {
      hint: `set it to a platform such as linux/amd64${suggestion(unmatched[0] ?? '', globals.values.keys())}`,
      location,
    });
  }
  const platform = parsePlatformAt(value, location);
  const { os, architecture } = platform;
  const isConstant = used.length === 0 && unmatched.length === 0;
  if (isConstant && !stageName.includes(os) && !stageName.includes(architecture))
    linter.report(
      'FromPlatformFlagConstDisallowed',
      `FROM --platform flag should not use constant value "${value}"`,
      location,
    );
  return { platform, uses: used };
}

function lintUndeclared(
  expansion: Expansion,
  globals: GlobalScope,
  location: SourceLocation,
  linter: Linter,
): void {
  for (const name of expansion.unmatched) {
    if (globals.declared.has(name) || globals.values.has(name)) continue;
    const known = [...globals.declared, ...globals.values.keys()];
    linter.report(
      'UndefinedArgInFrom',
      `FROM argument '${name}' is not declared${suggestion(name, known)}`,
      location,
    );
  }
}

/** Base names as they are without any build argument. */
export function lintDefaultBases(
  stages: readonly Stage[],
  defaults: () => GlobalScope,
  linter: Linter,
): void {
  try {
    const globals = defaults();
    for (const { from } of stages)
      lintDefaultBase(from.image, globals.expand(from.image, from.location).value, from.location, linter);
  } catch (error) {
    // What cannot be expanded fails with its place when it is converted.
    if (!(error instanceof BuildError)) throw error;
  }
}

export function parsePlatformAt(text: string, location: SourceLocation): Platform {
  try {
    return parsePlatform(text);
  } catch (error) {
    throw locateError(error, { location });
  }
}
