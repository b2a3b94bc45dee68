import type {
  Change,
  Explanation,
  FieldChange,
  FileChange,
  FilesChange,
  InputChange,
  ValueChange,
} from '../explanation.js';

const MOST_NAMED = 3;
const LONGEST_VALUE = 60;

/** An explanation in one line: `not cached: "src/a.js" changed (content)`. */
export function explanationText(explanation: Explanation): string {
  const other = comparedWithText(explanation);
  if (explanation.outcome === 'miss')
    return `not cached: ${[...new Set(explanation.changes.map(changeText))].join('; ')}${other}`;
  const asides = explanation.asides.map((aside) => `; ${valueText(aside)}`).join('');
  return `cached: ${HIT_TEXT[explanation.key]}${asides}${other}`;
}

/** Empty where a build was compared with an earlier one in its own place. */
export function comparedWithText({ comparedWith }: Explanation): string {
  return comparedWith === undefined ? '' : ` (compared with the build of ${comparedWith})`;
}

const HIT_TEXT = {
  definition: 'nothing that takes part in the key changed',
  content: 'an earlier step changed, the files that it gives did not',
} as const;

export function changeText(change: Change): string {
  switch (change.kind) {
    case 'files':
      return filesText(change);
    case 'value':
      return valueText(change);
    case 'input':
      return inputText(change);
    case 'ignored':
      return `${change.flag} was given`;
    case 'first':
      return change.isAdded
        ? 'first build of this step, which is new in its stage'
        : 'first build of this step';
    case 'failed':
      return `nothing changed, but it failed when it ran at ${timeText(change.atMs)}`;
    case 'lost':
      return change.prunedAtMs === undefined
        ? `nothing changed, but the result of ${timeText(change.madeAtMs)} is not in the store any more`
        : `nothing changed, but the result of ${timeText(change.madeAtMs)} was pruned at ${timeText(change.prunedAtMs)}`;
  }
}

/** UTC, to the second. */
export function timeText(atMs: number): string {
  return new Date(atMs)
    .toISOString()
    .replace('T', ' ')
    .replace(/\.\d+Z$/, 'Z');
}

function filesText({ place, files, total, isModeOnly }: FilesChange): string {
  if (total === 0) return `files of ${place} changed (which ones is not known any more)`;
  const hint =
    isModeOnly && / context\b/.test(place)
      ? `; another umask? --chmod, or --context-mode=git, takes the modes out of the key`
      : '';
  const [only] = files;
  if (total === 1) return `${fileText(only!)} ${PREPOSITION[only!.change]} ${place}${hint}`;
  const named = files.slice(0, MOST_NAMED).map(fileText);
  const more = total - named.length;
  return `${total} files changed in ${place}: ${named.join(', ')}${more > 0 ? ` and ${more} more` : ''}${hint}`;
}

const PREPOSITION = { added: 'to', removed: 'from', changed: 'in' } as const;

function fileText({ path, change, fields }: FileChange): string {
  const name = JSON.stringify(path);
  if (change !== 'changed') return `${name} was ${change}`;
  return `${name} changed (${fields.map(fieldText).join(', ')})`;
}

function fieldText({ field, names = [], before, after }: FieldChange): string {
  const named = [field, ...names].join(' ');
  return before === undefined || after === undefined ? named : `${named} ${before} → ${after}`;
}

function valueText({ name, change, before, after, remark }: ValueChange): string {
  const text =
    change !== 'changed'
      ? `${name} was ${change}`
      : before === undefined || after === undefined
        ? `${name} changed (its value is not shown)`
        : `${name} changed: ${difference(before, after).map(quoted).join(' → ')}`;
  return remark ? `${text} (${remark})` : text;
}

function quoted(text: string): string {
  return JSON.stringify(text);
}

/** Long values are cut to where they differ. */
function difference(before: string, after: string): [string, string] {
  if (before.length <= LONGEST_VALUE && after.length <= LONGEST_VALUE) return [before, after];
  let at = 0;
  while (at < before.length && before[at] === after[at]) at += 1;
  const start = Math.max(0, at - LONGEST_VALUE / 2);
  return [excerpt(before, start), excerpt(after, start)];
}

function excerpt(text: string, start: number): string {
  const end = start + LONGEST_VALUE;
  return `${start > 0 ? '…' : ''}${text.slice(start, end)}${end < text.length ? '…' : ''}`;
}

function inputText({ step: name, insteadOf, ran, changes }: InputChange): string {
  const step = name.replace(/@sha(256|512):[0-9a-f]+$/, '');
  if (insteadOf !== undefined) return `it follows ${quoted(step)} in place of ${quoted(insteadOf)}`;
  const files = changes.filter((change) => change.kind === 'files');
  const causes = (files.length > 0 ? files : changes).map(changeText);
  if (causes.length > 0) return `${ran || files.length > 0 ? '' : `${step}: `}${causes.join('; ')}`;
  return ran ? `${step} ran and gave other files` : `${step} gives other files than before`;
}
