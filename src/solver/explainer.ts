import type { InputAccount, LastStep, StepAccount, StepHistory } from '../cache/step-history.js';
import type { Change, Explanation, Hit, Miss } from '../explanation.js';
import type { JobContext, Result } from '../graph/contract.js';
import type { Definition, Vertex } from '../graph/definition.js';
import { type Digest, digestOfJson } from '../oci/digest.js';
import { compareAsides } from './compare-accounts.js';
import { changeText } from './explanation-text.js';
import { accountOf, hasRun, isStep, listingOf, type SeenStep, type VertexFacts } from './seen-step.js';
import { StepComparison } from './step-comparison.js';

/** What a solver tells of each vertex, in this order. */
export interface SolveWitness {
  keyed(vertex: Vertex, facts: VertexFacts): void;
  /** It was found under that key. */
  found(vertex: Vertex, key: 'definition' | 'content'): void;
  /** It was not found by its definition; `contents` are the digests of what it reads of its inputs. */
  demanded(vertex: Vertex, inputs: readonly Result[], contents: readonly Digest[]): void;
  /** It is about to run. */
  runs(vertex: Vertex, job: JobContext): Promise<void>;
  ended(vertex: Vertex, outcome: 'made' | 'failed'): void;
}

export interface ExplainerOptions {
  readonly definition: Definition;
  readonly history: StepHistory;
  /** When the record under that key was pruned. */
  readonly prunedAtMs: (key: Digest) => number | undefined;
  /** Every step is explained, not only the first that run. */
  readonly explainsAll: boolean;
  readonly onExplained: (vertex: Vertex, explanation: Explanation) => void;
}

/**
 * Finds out why steps run: compares what a step is made of with the nearest earlier account of it, and keeps new accounts.
 * Nothing is read or written while every step is found, but for one look whether the history knows this build.
 */
export class Explainer implements SolveWitness {
  readonly #options: ExplainerOptions;
  readonly #seen = new Map<Digest, SeenStep>();
  readonly #comparison: StepComparison;
  /** Changes that were told already: one ARG stands above many RUNs. */
  readonly #told = new Set<string>();

  constructor(options: ExplainerOptions) {
    this.#options = options;
    this.#comparison = new StepComparison({ ...options, seen: this.#seen });
  }

  keyed(vertex: Vertex, facts: VertexFacts): void {
    this.#seen.set(vertex.digest, { vertex, facts, listings: new Map() });
  }

  found(vertex: Vertex, key: Hit['key']): void {
    const seen = this.#seen.get(vertex.digest);
    if (!seen || seen.outcome) return;
    seen.outcome = 'found';
    if (key !== 'content')
      for (const edge of vertex.inputs) {
        // The key that was found covers the keys of the inputs.
        const input = this.#seen.get(edge.vertex);
        if (input) this.found(input.vertex, key);
      }
    if (!isStep(vertex)) return;
    seen.explanation = { outcome: 'hit', key, asides: [] };
    if (!this.#options.explainsAll) return;
    const account = accountOf(seen, this.#options.definition);
    const candidates = this.#comparison.candidates(account);
    const nearest = candidates.find(({ definition }) => definition === account.definition) ?? candidates[0];
    const asides = nearest ? compareAsides(nearest, account) : [];
    seen.explanation = { outcome: 'hit', key, asides, ...(asides.length > 0 ? this.#comparison.place : {}) };
    this.#options.onExplained(vertex, seen.explanation);
  }

  demanded(vertex: Vertex, inputs: readonly Result[], contents: readonly Digest[]): void {
    const seen = this.#seen.get(vertex.digest);
    if (seen) seen.demanded = { inputs, contents };
  }

  async runs(vertex: Vertex, job: JobContext): Promise<void> {
    const seen = this.#seen.get(vertex.digest);
    if (!seen || !isStep(vertex)) return;
    const miss = await this.#comparison.missOf(seen, job);
    seen.explanation = miss;
    const changes = this.#options.explainsAll ? miss.changes : this.#news(seen, miss);
    if (changes.length > 0) this.#options.onExplained(vertex, { ...miss, changes });
  }

  /** What no earlier step of this build has told. */
  #news({ vertex }: SeenStep, { changes }: Miss): Change[] {
    const inputRan = vertex.inputs.some((edge) => hasRun(this.#seen.get(edge.vertex)!));
    return changes.filter((change) => {
      if (change.kind === 'input' && change.ran) return false;
      if ((change.kind === 'ignored' || change.kind === 'first') && inputRan) return false;
      if (change.kind !== 'value') return true;
      const text = changeText(change);
      if (this.#told.has(text)) return false;
      this.#told.add(text);
      return true;
    });
  }

  ended(vertex: Vertex, outcome: 'made' | 'failed'): void {
    const seen = this.#seen.get(vertex.digest);
    if (seen) seen.outcome = outcome;
  }

  /**
   * Keeps what was learned; called once, when nothing runs any more. A store that cannot be written costs explanations, not
   * the build.
   */
  async finish(heads: readonly Digest[]): Promise<void> {
    const steps = [...this.#options.definition.vertices.values()].flatMap((vertex) => {
      const seen = isStep(vertex) ? this.#seen.get(vertex.digest) : undefined;
      return seen ? [seen] : [];
    });
    const isFound = steps.every(({ outcome, demanded }) => outcome === 'found' && !demanded);
    const definitions = heads.map((head) => this.#seen.get(head)?.facts.definition);
    const build = isFound ? digestOfJson([definitions, steps.flatMap(lastStepOf)]) : undefined;
    if (build && this.#options.history.hasBuild(build)) return;
    try {
      await this.#save(steps, build);
    } catch {
      return;
    }
  }

  async #save(steps: readonly SeenStep[], build: Digest | undefined): Promise<void> {
    const { history, definition } = this.#options;
    const known = new Set(history.accounts().map(accountKey));
    const accounts: StepAccount[] = [];
    for (const seen of steps) {
      if (!seen.outcome) continue;
      const account = accountOf(seen, definition);
      if (seen.outcome === 'found' && known.has(accountKey(account))) continue;
      accounts.push({ ...account, inputs: await this.#savedInputs(seen, account) });
    }
    history.save(accounts, { atMs: Date.now(), steps: steps.flatMap(lastStepOf) }, build);
  }

  /** Keeps the listings of local files, and names them. */
  #savedInputs(seen: SeenStep, account: StepAccount): Promise<InputAccount[]> {
    const named = account.inputs.map(async (input, i) => {
      const dep = seen.facts.cacheMap.deps[i];
      if (!dep?.early || !dep.files) return input;
      const listing = await listingOf(seen, i, quietJob(seen.vertex));
      return listing ? { ...input, listing: this.#options.history.saveListing(listing) } : input;
    });
    return Promise.all(named);
  }
}

function accountKey({ position, definition }: StepAccount): string {
  return `${position} ${definition}`;
}

function lastStepOf({ vertex, facts, outcome, explanation }: SeenStep): LastStep[] {
  if (!outcome) return [];
  const { name, position = '' } = vertex.options;
  const step = { name, position, definition: facts.definition, outcome };
  return [explanation ? { ...step, explanation } : step];
}

function quietJob(vertex: Vertex): JobContext {
  const silent = () => undefined;
  const { signal } = new AbortController();
  return { vertex, signal, log: silent, transfer: silent, note: silent, logFile: silent };
}
