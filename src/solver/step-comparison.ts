import type { InputAccount, StepAccount, StepHistory } from '../cache/step-history.js';
import type { Change, FilesChange, Miss, ValueChange } from '../explanation.js';
import type { JobContext, Layer, Result } from '../graph/contract.js';
import type { Definition } from '../graph/definition.js';
import { createSnapshotResult } from '../graph/snapshot.js';
import type { Digest } from '../oci/digest.js';
import { compareComponents, instructionOf } from './compare-accounts.js';
import { compareListings } from './file-changes.js';
import { nearestHistory, placeOfHistory } from './nearest-history.js';
import { accountOf, hasRun, isStep, listingOf, orNothing, type SeenStep, stageOf } from './seen-step.js';

/** Any account of an instruction of the same kind is nearer. */
const ANOTHER_INSTRUCTION = 1e6;

export interface ComparisonOptions {
  readonly definition: Definition;
  readonly history: StepHistory;
  /** When the record under that key was pruned. */
  readonly prunedAtMs: (key: Digest) => number | undefined;
  /** All vertices of the build. */
  readonly seen: ReadonlyMap<Digest, SeenStep>;
}

/** Compares steps of this build with what the history says of them, or that of another place where this one has none. */
export class StepComparison {
  readonly #options: ComparisonOptions;
  #nearestHistory: StepHistory | undefined;

  constructor(options: ComparisonOptions) {
    this.#options = options;
  }

  get #history(): StepHistory {
    const { history, definition } = this.#options;
    if (history.accounts().length > 0) return history;
    this.#nearestHistory ??= nearestHistory(history, definition) ?? history;
    return this.#nearestHistory;
  }

  /** The place of the builds that this one is compared with, where it is not its own. */
  get place(): { readonly comparedWith?: string } {
    const own = this.#options.history;
    return this.#history === own ? {} : { comparedWith: placeOfHistory(this.#history, own) };
  }

  /** Earlier accounts of the step: those with its text, wherever they stood in the stage; else those in its place. */
  candidates(account: StepAccount): readonly StepAccount[] {
    const stage = stageOf(account.position);
    const inStage = this.#history.accounts().filter(({ position }) => stageOf(position) === stage);
    const equal = inStage.filter((other) => instructionOf(other) === instructionOf(account));
    if (equal.length > 0) return equal;
    const present = new Set(
      [...this.#options.seen.values()]
        .filter(({ vertex }) => isStep(vertex) && stageOf(vertex.options.position!) === stage)
        .map(({ vertex }) => instructionOf(vertex.options)),
    );
    return inStage.filter(
      (other) => other.position === account.position && !present.has(instructionOf(other)),
    );
  }

  /** Why the step runs. */
  async missOf(seen: SeenStep, job: JobContext): Promise<Miss> {
    const { ignoreCache, ignoreCacheFlag = '--no-cache' } = seen.vertex.options;
    if (ignoreCache) return { outcome: 'miss', changes: [{ kind: 'ignored', flag: ignoreCacheFlag }] };
    return { ...(await this.#earlierMiss(seen, job)), ...this.place };
  }

  async #earlierMiss(seen: SeenStep, job: JobContext): Promise<Miss> {
    const account = accountOf(seen, this.#options.definition);
    const candidates = this.candidates(account);
    const same = candidates.find(({ definition }) => definition === account.definition);
    if (same) return { outcome: 'miss', changes: [this.#sameAgain(same)], comparedToMs: same.atMs };
    const nearest = await this.#nearest(candidates, account, seen, job);
    if (nearest) return nearest;
    const [equal] = candidates;
    if (equal) return { outcome: 'miss', changes: [this.#sameAgain(equal)], comparedToMs: equal.atMs };
    return { outcome: 'miss', changes: [this.#first(seen)] };
  }

  async #nearest(
    candidates: readonly StepAccount[],
    account: StepAccount,
    seen: SeenStep,
    job: JobContext,
  ): Promise<Miss | undefined> {
    let nearest: Miss | undefined;
    let least = Infinity;
    for (const candidate of candidates) {
      if (candidate.outcome === 'failed') continue;
      const changes = await this.#compare(candidate, account, seen, job);
      const distance = distanceOf(changes);
      if (changes.length === 0 || distance >= least) continue;
      nearest = { outcome: 'miss', changes, comparedToMs: candidate.atMs };
      least = distance;
    }
    return nearest;
  }

  #sameAgain({ outcome, atMs, definition }: StepAccount): Change {
    if (outcome === 'failed') return { kind: 'failed', atMs };
    const prunedAtMs = this.#options.prunedAtMs(definition);
    return { kind: 'lost', madeAtMs: atMs, ...(prunedAtMs === undefined ? {} : { prunedAtMs }) };
  }

  #first({ vertex }: SeenStep): Change {
    const stage = stageOf(vertex.options.position!);
    const accounts = this.#history.accounts();
    return { kind: 'first', isAdded: accounts.some(({ position }) => stageOf(position) === stage) };
  }

  async #compare(
    before: StepAccount,
    after: StepAccount,
    seen: SeenStep,
    job: JobContext,
  ): Promise<Change[]> {
    const replaced = replacedInstruction(before, after);
    if (replaced) return [replaced];
    const changes: Change[] = compareComponents(before, after);
    for (const [i, input] of after.inputs.entries()) {
      const old = before.inputs[i];
      if (!old || isEqualInput(old, input)) continue;
      const change = await this.#compareInput(old, input, i, seen, job);
      // Another way to read the same files: what is read differs, the files do not.
      if (change.kind !== 'files' || change.total > 0 || changes.length === 0) changes.push(change);
    }
    return changes;
  }

  async #compareInput(
    old: InputAccount,
    input: InputAccount,
    index: number,
    seen: SeenStep,
    job: JobContext,
  ): Promise<Change> {
    const source = this.#options.seen.get(seen.vertex.inputs[index]!.vertex);
    const place = placeOf(input.name, source);
    const files = await this.#compareFiles(old, place, index, seen, job);
    if (!source || !isStep(source.vertex)) return files ?? unknownFiles(place);
    const ran = hasRun(source);
    const isOther = !ran && instructionOf(old) !== instructionOf(input);
    return {
      kind: 'input',
      step: isOther ? instructionOf(input) : input.name,
      ...(isOther ? { insteadOf: instructionOf(old) } : {}),
      ran,
      changes: files ? [files] : ran || isOther ? [] : await this.#earlierCauses(old, source, job),
    };
  }

  /** Why an input that was found differs from the one of the earlier build: compares their own accounts. */
  async #earlierCauses(old: InputAccount, source: SeenStep, job: JobContext): Promise<Change[]> {
    const { definition } = this.#options;
    const before = this.#history.accounts().find((account) => account.definition === old.definition);
    if (!before) return [];
    return this.#compare(before, accountOf(source, definition), source, job);
  }

  async #compareFiles(
    old: InputAccount,
    place: string,
    index: number,
    seen: SeenStep,
    job: JobContext,
  ): Promise<FilesChange | undefined> {
    const dep = seen.facts.cacheMap.deps[index];
    if (!dep?.files) return undefined;
    const before = old.listing
      ? this.#history.listing(old.listing)
      : old.layers && (await orNothing(dep.files(snapshotOf(old.layers), job)));
    const after = before && (await listingOf(seen, index, job));
    return after && compareListings(place, before, after);
  }
}

/** RUN in the place of COPY has nothing in common with it. */
function replacedInstruction(before: StepAccount, after: StepAccount): ValueChange | undefined {
  const [old, now] = [instructionOf(before), instructionOf(after)];
  if (keywordOf(old) === keywordOf(now)) return undefined;
  return { kind: 'value', name: 'instruction', change: 'changed', before: old, after: now };
}

function keywordOf(instruction: string): string {
  return instruction.split(' ', 1)[0]!;
}

/** Earlier files by the layers that held them; their listings are looked for, nothing is fetched. */
function snapshotOf(diffIds: readonly Digest[]): Result {
  return createSnapshotResult(diffIds.map((diffId): Layer => ({ diffId, contentDigest: diffId })));
}

function isEqualInput(before: InputAccount, after: InputAccount): boolean {
  if (before.content !== undefined && after.content !== undefined) return before.content === after.content;
  return before.definition === after.definition;
}

/** How far two builds of a step are apart. */
function distanceOf(changes: readonly Change[]): number {
  return changes.reduce((sum, change) => {
    if (change.kind === 'files') return sum + (change.total || 1);
    return sum + (change.kind === 'value' && change.name === 'instruction' ? ANOTHER_INSTRUCTION : 1);
  }, 0);
}

/** Where the files of an input are, for people. */
function placeOf(name: string, source: SeenStep | undefined): string {
  if (name.startsWith('[internal] load ')) return `the ${name.slice('[internal] load '.length)}`;
  if (name.startsWith('[internal] bind ')) return 'the build context';
  if (name.startsWith('[internal] preparing inline document')) return 'a heredoc';
  if (source && !isStep(source.vertex) && source.vertex.op.kind === 'source') return 'what is downloaded';
  return name;
}

function unknownFiles(place: string): FilesChange {
  return { kind: 'files', place, files: [], total: 0, isModeOnly: false };
}
