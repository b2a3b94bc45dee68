import { locateError, type SourceLocation } from '../../errors.js';
import type { ArgCommand } from '../command.js';
import { type Expansion, expandWord } from '../expansion.js';
import type { OutlineRecorder } from '../outline.js';
import { TextBudget } from './text-budget.js';

/** The variables that FROM sees: automatic ARGs, then the ARGs before the first FROM, each of which build arguments replace. */
export class GlobalScope {
  /** Names of the ARGs before the first FROM. */
  readonly declared = new Set<string>();
  readonly #escape: '\\' | '`';
  readonly #values: Map<string, string>;
  readonly #budget = new TextBudget();

  constructor(
    escape: '\\' | '`',
    commands: readonly ArgCommand[],
    automatic: ReadonlyMap<string, string>,
    buildArgs: Readonly<Record<string, string>>,
    outline?: OutlineRecorder,
  ) {
    this.#escape = escape;
    const given = new Map(Object.entries(buildArgs));
    this.#values = new Map([...automatic].map(([name, value]) => [name, given.get(name) ?? value]));
    for (const command of commands) {
      for (const { name, value } of command.args) {
        this.declared.add(name);
        const own = value === undefined || given.has(name) ? undefined : this.expand(value, command.location);
        const chosen = given.get(name) ?? own?.value;
        if (chosen !== undefined) this.#values.set(name, chosen);
        outline?.addGlobal(name, chosen, command, own?.used ?? []);
      }
    }
  }

  get values(): ReadonlyMap<string, string> {
    return this.#values;
  }

  /** Gives a variable another value; without one it is no more set. */
  replace(name: string, value: string | undefined): void {
    if (!this.#values.has(name)) return;
    if (value === undefined) this.#values.delete(name);
    else this.#values.set(name, value);
  }

  /** Expands a word of FROM. @throws EXPANSION_FAILED with the place */
  expand(text: string, location: SourceLocation): Expansion {
    try {
      const expansion = expandWord(text, { env: (name) => this.#values.get(name), escape: this.#escape });
      this.#budget.spend(expansion.value.length);
      return expansion;
    } catch (error) {
      throw locateError(error, { location });
    }
  }
}
