/**
 * Who keeps what this process looks at, so that an equal command can be known by its inputs (docs/adr/0011-repeats.md). Calls of
 * Node's modules are seen without it; what goes around them has to say so.
 */
export interface Witness {
  /** False once something was done that no witness understands: then nobody needs to tell of rows. */
  readonly watches: boolean;
  /** A look at a file, with its row (`file-rows.ts`), of a link itself or of what it points to. */
  row(how: 'link' | 'file', path: string, rows: Float64Array, at: number): void;
  /** Something was done that no witness understands. */
  unseen(what: string): void;
  /** The command only looked; this is what it said, and `root` the store it looked at. */
  offer(root: string, said: { readonly stdout: string; readonly stderr: string }): void;
}

/** bin/launch.cjs and the program are two bundles; they meet here. */
const WITNESS = Symbol.for('tsbuild.witness');

const place = globalThis as { [WITNESS]?: Witness };

/** Undefined where nobody wants to know, as in the library. */
export function currentWitness(): Witness | undefined {
  return place[WITNESS];
}

export function callWitness(witness: Witness): void {
  place[WITNESS] = witness;
}
