import { BuildError, type SourceLocation } from '../../errors.js';
import type { WarningEvent } from '../../progress.js';
import type { ParsedDockerfile } from '../instruction-line.js';
import {
  type CheckConfig,
  isAsked,
  mergeCheckConfigs,
  NO_CHECK_CONFIG,
  parseCheckConfig,
} from './check-config.js';
import { rulePage, type RuleName, RULES } from './rules.js';

export interface LinterOptions {
  /** Build argument BUILDKIT_DOCKERFILE_CHECK: takes the place of the file's `# check=`. */
  readonly checkOption?: string | undefined;
  /** Also tsbuild's own set of rules. */
  readonly extra?: boolean | undefined;
  /** Hears of each finding at once, also of those before an error. */
  readonly onWarning?: ((warning: WarningEvent) => void) | undefined;
}

/** Collects what the rules find, each finding once. The file says with `# check=` which rules are asked. */
export class Linter {
  readonly #config: CheckConfig;
  readonly #ofInstruction = new Map<number, CheckConfig>();
  readonly #warnings = new Map<string, WarningEvent>();
  readonly #onWarning: LinterOptions['onWarning'];

  /** @throws INVALID_VALUE for a `# check=` that cannot be read */
  constructor(parsed: ParsedDockerfile, { checkOption, extra, onWarning }: LinterOptions) {
    this.#onWarning = onWarning;
    const head = { file: parsed.name, startLine: 1, endLine: 1 };
    const own = parseCheckConfig(checkOption ?? parsed.directives['check'] ?? '', head);
    const added = extra ? { ...NO_CHECK_CONFIG, enabled: new Set(['extra']) } : NO_CHECK_CONFIG;
    this.#config = mergeCheckConfigs(own, added);
    for (const { comments, location } of parsed.instructions) {
      for (const comment of comments) {
        const option = /^check\s*=\s*(.*)$/i.exec(comment)?.[1];
        if (option === undefined) continue;
        const known = this.#ofInstruction.get(location.startLine) ?? this.#config;
        this.#ofInstruction.set(
          location.startLine,
          mergeCheckConfigs(known, parseCheckConfig(option, location)),
        );
      }
    }
  }

  /** Rules that cost something to ask are asked only where they count. */
  asks(rule: RuleName, location?: SourceLocation): boolean {
    const config = location && this.#ofInstruction.get(location.startLine);
    return isAsked(config ?? this.#config, rule);
  }

  report(rule: RuleName, message: string, location: SourceLocation): void {
    if (!this.asks(rule, location)) return;
    const key = `${rule} ${location.startLine} ${message}`;
    if (this.#warnings.has(key)) return;
    const detail = RULES[rule].summary;
    const warning = {
      kind: 'warning',
      atMs: Date.now(),
      rule,
      message,
      detail,
      url: rulePage(rule),
      location,
    } as const;
    this.#warnings.set(key, warning);
    this.#onWarning?.(warning);
  }

  /** In the order of their places. */
  get warnings(): readonly WarningEvent[] {
    const line = (warning: WarningEvent) => warning.location?.startLine ?? 0;
    return [...this.#warnings.values()].sort((a, b) => line(a) - line(b));
  }

  /** @throws CHECK_FAILED where the file says `error=true` and a rule found something */
  failOnWarning(): void {
    if (!this.#config.failOnWarning || this.#warnings.size === 0) return;
    const [first] = this.warnings;
    const rules = new Set(this.warnings.map((warning) => warning.rule));
    throw new BuildError('CHECK_FAILED', `lint violation found for rules: ${[...rules].join(', ')}`, {
      hint: `mend it, skip a rule with "# check=skip=NAME", or see ${rulePage(first!.rule!)}`,
      location: first!.location,
    });
  }
}
