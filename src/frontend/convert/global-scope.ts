import { locateError, type SourceLocation } from '../../errors.js';
import type { ArgCommand } from '../command.js';
import { type Expansion, expandWord } from '../expansion.js';
import type { ConvertContext } from './stage-state.js';

/** The variables that FROM sees: automatic ARGs, then the ARGs before the first FROM, each of which build arguments replace. */
export class GlobalScope {
  readonly #context: ConvertContext;
  readonly #values: Map<string, string>;
  readonly #declared = new Set<string>();

  constructor(
    context: ConvertContext,
    commands: readonly ArgCommand[],
    automatic: ReadonlyMap<string, string>,
    buildArgs: Readonly<Record<string, string>>,
  ) {
    this.#context = context;
    const given = new Map(Object.entries(buildArgs));
    this.#values = new Map([...automatic].map(([name, value]) => [name, given.get(name) ?? value]));
    for (const { args, location } of commands) {
      for (const { name, value } of args) {
        this.#declared.add(name);
        const chosen =
          given.get(name) ?? (value === undefined ? undefined : this.#expansion(value, location).value);
        if (chosen !== undefined) this.#values.set(name, chosen);
      }
    }
  }

  get values(): ReadonlyMap<string, string> {
    return this.#values;
  }

  /** Expands a word of FROM. @throws EXPANSION_FAILED with the place */
  expand(text: string, location: SourceLocation): string {
    const { value, unmatched } = this.#expansion(text, location);
    for (const name of unmatched) {
      if (this.#declared.has(name)) continue;
      this.#context.warn('UndefinedArgInFrom', `FROM argument '${name}' is not declared`, location);
    }
    return value;
  }

  #expansion(text: string, location: SourceLocation): Expansion {
    try {
      return expandWord(text, { env: (name) => this.#values.get(name), escape: this.#context.escape });
    } catch (error) {
      throw locateError(error, { location });
    }
  }
}
