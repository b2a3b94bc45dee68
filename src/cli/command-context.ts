/** What every command gets beside its arguments. */
export interface CommandContext {
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
}

/** Options of every command. */
export interface GlobalOptions {
  readonly root?: string;
  readonly config?: string;
  readonly debug?: boolean;
  readonly progress?: string;
}

/** The part of the options that the library takes. */
export function storeOptions(options: GlobalOptions, { signal }: CommandContext) {
  return {
    signal,
    ...(options.root === undefined ? {} : { root: options.root }),
    ...(options.config === undefined ? {} : { configFile: options.config }),
  };
}
