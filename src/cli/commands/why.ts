import { nearestName, BuildError } from '../../errors.js';
import type { LastStep, StepAccount, StepHistory } from '../../cache/step-history.js';
import { lastBuildHistory } from '../../explain.js';
import type { Explanation, Miss } from '../../explanation.js';
import type { Digest } from '../../oci/digest.js';
import { changeText, comparedWithText, explanationText, timeText } from '../../solver/explanation-text.js';
import { MOST_READ, placeOfHistory } from '../../solver/nearest-history.js';
import { openStore } from '../../store.js';
import { type CommandContext, type GlobalOptions, storeOptions } from '../command-context.js';

export interface WhyFlags extends GlobalOptions {
  readonly file?: string;
  readonly format: string;
}

interface NamedStep {
  readonly step: LastStep;
  readonly stage: string;
  readonly number: number;
  readonly instruction: string;
}

/** `tsbuild why`: what an earlier build says of its steps. */
export function printWhy(
  first: string | undefined,
  second: string | undefined,
  flags: WhyFlags,
  context: CommandContext,
): void {
  const [wanted, path] = second === undefined && isPath(first) ? [undefined, first] : [first, second];
  using store = openStore(storeOptions(flags, context));
  const { file } = flags;
  const isNamed = path !== undefined || file !== undefined;
  const subject = isNamed ? { context: path ?? '.', ...(file === undefined ? {} : { file }) } : undefined;
  const history = lastBuildHistory(store, subject);
  if (!history)
    throw new BuildError('USAGE', `the store knows no build${path === undefined ? '' : ` of "${path}"`}`, {
      hint: 'build first, with the same --root; a Dockerfile of another name needs -f here, too',
    });
  const steps = history.last!.steps.map(namedStep);
  const found = wanted === undefined ? steps : findSteps(steps, wanted);
  process.stdout.write(flags.format === 'json' ? json(found, history) : text(found, history));
}

/** The first word is a step, unless it cannot be one. */
function isPath(word: string | undefined): word is string {
  return word !== undefined && /^(\.{0,2}\/|\.{1,2}$)/.test(word);
}

/** `[linux/amd64 builder 2/5] RUN make`; the frontend's names, taken apart. */
function namedStep(step: LastStep): NamedStep {
  const match = /^\[(?:(.*?) )? ?(\d+)\/\d+\] (.*)$/s.exec(step.name);
  const label = match?.[1]?.trim().split(' ').at(-1) ?? '';
  const stage = label.includes('/') ? '' : label;
  return { step, stage, number: Number(match?.[2] ?? 0), instruction: match?.[3] ?? step.name };
}

/**
 * By number (in the last stage, else in any), `stage/number`, `stage/text`, or the start of the instruction's text.
 * @throws USAGE with the nearest, where nothing fits
 */
function findSteps(steps: readonly NamedStep[], wanted: string): NamedStep[] {
  const slash = wanted.indexOf('/');
  const stage = wanted.slice(0, Math.max(0, slash)).toLowerCase();
  const inStage = steps.filter((named) => named.stage === stage && stage !== '');
  const found = inStage.length > 0 ? matching(inStage, wanted.slice(slash + 1)) : matching(steps, wanted);
  const last = steps.at(-1)!.stage;
  const inLast = /^\d+$/.test(wanted) ? found.filter((named) => named.stage === last) : [];
  if (found.length > 0) return inLast.length > 0 ? inLast : found;
  const nearest = nearestName(
    wanted,
    steps.map(({ instruction }) => instruction),
  );
  throw new BuildError('USAGE', `no step "${wanted}" in that build`, {
    hint: nearest
      ? `did you mean "${nearest}"?`
      : 'name it by its number, as STAGE/NUMBER, or by the start of its text; "tsbuild why" lists all',
  });
}

function matching(steps: readonly NamedStep[], wanted: string): NamedStep[] {
  const start = wanted.toLowerCase();
  return steps.filter(({ number, instruction }) =>
    /^\d+$/.test(wanted) ? number === Number(wanted) : instruction.toLowerCase().startsWith(start),
  );
}

function text(steps: readonly NamedStep[], history: StepHistory): string {
  const [place, file = ''] = history.subject;
  const head = `build of ${place} (${file}) at ${timeText(history.last!.atMs)}\n`;
  return `${head}${steps.map(({ step }) => stepText(step, history)).join('')}`;
}

function stepText(step: LastStep, history: StepHistory): string {
  const lines = [step.name, ...explanationLines(step)];
  const run = earlierRun(step, history);
  if (run) {
    const place = run.place === undefined ? '' : ` in the build of ${run.place}`;
    lines.push(`  it last ran at ${timeText(run.atMs)}${place}: ${explanationText(run.miss)}`);
  }
  return `\n${lines.join('\n')}\n`;
}

/** One line, or one for each reason. */
function explanationLines({ explanation, outcome }: LastStep): string[] {
  const failed = outcome === 'failed' ? ['  and failed'] : [];
  if (!explanation) return failed;
  if (explanation.outcome === 'hit' || explanation.changes.length === 1)
    return [`  ${explanationText(explanation)}`, ...failed];
  const changes = explanation.changes.map((change) => `    ${changeText(change)}`);
  return [`  not cached${comparedWithText(explanation)}:`, ...new Set(changes), ...failed];
}

interface EarlierRun {
  readonly atMs: number;
  readonly miss: Miss;
  /** Where, when it was the build of another place. */
  readonly place?: string;
}

/** Of a step that was found: the run that made its result; else the last run of the step that is known. */
function earlierRun(
  { outcome, definition, position }: LastStep,
  history: StepHistory,
): EarlierRun | undefined {
  if (outcome !== 'found') return undefined;
  const own = runOf(definition, history);
  if (own) return own;
  for (const other of history.others(MOST_READ)) {
    const run = runOf(definition, other);
    if (run) return { ...run, place: placeOfHistory(other, history) };
  }
  return history.accounts().find((account) => account.position === position && account.run)?.run;
}

function runOf(definition: Digest, history: StepHistory): StepAccount['run'] {
  return history.accounts().find((account) => account.definition === definition && account.run)?.run;
}

function json(steps: readonly NamedStep[], history: StepHistory): string {
  const [context, file] = history.subject;
  const rows = steps.map(({ step }) => {
    const { name, outcome, explanation } = step;
    const run = earlierRun(step, history);
    return {
      step: name,
      outcome,
      ...(explanation ? told(explanation) : {}),
      ...(run ? { lastRun: lastRun(run) } : {}),
    };
  });
  const document = { context, file, at: new Date(history.last!.atMs).toISOString(), steps: rows };
  return `${JSON.stringify(document, null, 2)}\n`;
}

function lastRun({ atMs, miss, place }: EarlierRun): object {
  return { at: new Date(atMs).toISOString(), ...(place === undefined ? {} : { place }), ...told(miss) };
}

function told(explanation: Explanation): { text: string; explanation: Explanation } {
  return { text: explanationText(explanation), explanation };
}
