import { locateError, type SourceLocation } from '../../errors.js';
import type { ArgCommand } from '../command.js';
import { expandWord } from '../expansion.js';
import type { ConvertContext } from './stage-state.js';

/** The variables that FROM sees: automatic ARGs, then the ARGs before the first FROM, each of which build arguments replace. */
export class GlobalScope {
  readonly #context: ConvertContext;
  readonly #values: Map<string, string>;

  constructor(
    context: ConvertContext,
    commands: readonly ArgCommand[],
    automatic: ReadonlyMap<string, string>,
    buildArgs: Readonly<Record<string, string>>,
  ) {
    this.#context = context;
    this.#values = new Map([...automatic].map(([name, value]) => [name, buildArgs[name] ?? value]));
    for (const { args, location } of commands) {
      for (const { name, value } of args) {
        const chosen = buildArgs[name] ?? (value === undefined ? undefined : this.expand(value, location));
        if (chosen !== undefined) this.#values.set(name, chosen);
      }
    }
  }

  get values(): ReadonlyMap<string, string> {
    return this.#values;
  }

  /** @throws EXPANSION_FAILED with the place */
  expand(text: string, location: SourceLocation): string {
    try {
      const { value, unmatched } = expandWord(text, {
        env: (name) => this.#values.get(name),
        escape: this.#context.escape,
      });
      for (const name of unmatched) {
        this.#context.warn('UndefinedArgInFrom', `FROM argument '${name}' is not declared`, location);
      }
      return value;
    } catch (error) {
      throw locateError(error, { location });
    }
  }
}
