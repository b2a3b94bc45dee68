import { BuildError, nearestName, type SourceLocation } from '../../errors.js';
import { RULES, type RuleName, type RuleSet } from './rules.js';

/** What `# check=` says: for a file, or for the instruction below it. */
export interface CheckConfig {
  readonly skip: ReadonlySet<string>;
  readonly skipAll: boolean;
  /** Rules outside of the standard set that are asked, by name or by set. */
  readonly enabled: ReadonlySet<string>;
  readonly failOnWarning: boolean;
}

export const NO_CHECK_CONFIG: CheckConfig = {
  skip: new Set(),
  skipAll: false,
  enabled: new Set(),
  failOnWarning: false,
};

const OPTIONS = ['skip', 'error', 'experimental'];

/**
 * Reads `skip=NAME,…;error=true;experimental=NAME,…`, where `all` stands for all names, and `experimental=extra` turns on
 * tsbuild's own set.
 * @throws INVALID_VALUE
 */
export function parseCheckConfig(text: string, location: SourceLocation): CheckConfig {
  let { skip, skipAll, enabled, failOnWarning }: CheckConfig = NO_CHECK_CONFIG;
  for (const part of text.split(';').filter((piece) => piece.trim() !== '')) {
    const equals = part.indexOf('=');
    const name = (equals < 0 ? part : part.slice(0, equals)).trim();
    const value = equals < 0 ? '' : part.slice(equals + 1).trim();
    if (equals < 0 || !OPTIONS.includes(name)) throw unknownOption(name, location);
    if (name === 'error') failOnWarning = readBoolean(value, location);
    else if (name === 'experimental') enabled = namesOf(value);
    else if (value === 'all') skipAll = true;
    else skip = namesOf(value);
  }
  return { skip, skipAll, enabled, failOnWarning };
}

export function mergeCheckConfigs(first: CheckConfig, second: CheckConfig): CheckConfig {
  return {
    skip: new Set([...first.skip, ...second.skip]),
    skipAll: first.skipAll || second.skipAll,
    enabled: new Set([...first.enabled, ...second.enabled]),
    failOnWarning: first.failOnWarning || second.failOnWarning,
  };
}

export function isAsked(config: CheckConfig, rule: RuleName): boolean {
  const name = rule.toLowerCase();
  if (config.skipAll || config.skip.has(name)) return false;
  const set: RuleSet = RULES[rule].set;
  return set === 'standard' || ['all', set, name].some((word) => config.enabled.has(word));
}

function namesOf(value: string): Set<string> {
  return new Set(value.split(',').map((name) => name.trim().toLowerCase()));
}

function readBoolean(value: string, location: SourceLocation): boolean {
  if (/^(1|t|true)$/i.test(value)) return true;
  if (/^(0|f|false)$/i.test(value)) return false;
  throw new BuildError('INVALID_VALUE', `the check option "error" takes true or false, not "${value}"`, {
    location,
  });
}

function unknownOption(name: string, location: SourceLocation): BuildError {
  const nearest = nearestName(name, OPTIONS);
  return new BuildError('INVALID_VALUE', `invalid check option "${name}"`, {
    hint: nearest === undefined ? `the options are ${OPTIONS.join(', ')}` : `did you mean "${nearest}"?`,
    location,
  });
}
