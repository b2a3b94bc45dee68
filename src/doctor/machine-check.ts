/** What a look at one part of the machine found. */
export type MachineFinding =
  | { readonly status: 'ok'; readonly detail: string }
  /** Something works less well, or not at all; `mend` is the way out, one sentence. */
  | { readonly status: 'warning' | 'failed'; readonly detail: string; readonly mend: string };

/**
 * One part of the machine that builds need. `check` looks, changes nothing, and does not throw for what it finds; it starts
 * programs only where nothing else tells.
 */
export interface MachineCheck {
  /** One to three words: `kernel`, `user namespaces`. */
  readonly name: string;
  readonly check: () => MachineFinding | Promise<MachineFinding>;
}
