import type { BuildNames, StepHistory } from '../cache/step-history.js';
import type { Definition } from '../graph/definition.js';
import { instructionOf } from './compare-accounts.js';
import { isStep } from './seen-step.js';

/** Histories of other builds that are read, those that were used last. */
export const MOST_READ = 32;
/** The part of the steps that must have been built there where the image's name does not tell. */
const LEAST_SHARED = 0.5;

/**
 * The history to compare with where a build has none of its own: each job of CI has a checkout at another path. Of other
 * builds' histories it is one of an image of the same name, or one that knows half of the steps by their text; the most steps
 * decide, then what else has the same name, then the time.
 */
export function nearestHistory(own: StepHistory, definition: Definition): StepHistory | undefined {
  const steps = new Set([...definition.vertices.values()].filter(isStep).flatMap(ownText));
  const near = [...own.others(MOST_READ)].flatMap((history) => {
    const shared = sharedPart(steps, history);
    const isSameImage = own.names['image'] !== undefined && own.names['image'] === history.names['image'];
    if (shared === 0 || (!isSameImage && shared < LEAST_SHARED)) return [];
    return [{ history, rank: [Number(isSameImage), shared, equalNames(own.names, history.names)] }];
  });
  return near.sort((a, b) => compareRanks(b.rank, a.rank))[0]?.history;
}

/** Where the builds of a history were; with the Dockerfile where the place alone does not tell. */
export function placeOfHistory(history: StepHistory, own: StepHistory): string {
  const [place = '', file] = history.subject;
  const named = place === '-' ? 'standard input' : place;
  return file && place === own.subject[0] ? `${named} (${file})` : named;
}

/** A base image says little of what is built on it. */
function ownText({ options }: { readonly options: { readonly name: string } }): string[] {
  const text = instructionOf(options);
  return text.startsWith('FROM ') ? [] : [text];
}

function sharedPart(steps: ReadonlySet<string>, history: StepHistory): number {
  const known = new Set(history.accounts().map(instructionOf));
  return [...steps].filter((text) => known.has(text)).length / Math.max(1, steps.size);
}

function equalNames(own: BuildNames, other: BuildNames): number {
  return Object.entries(own).filter(([name, value]) => other[name] === value).length;
}

function compareRanks(a: readonly number[], b: readonly number[]): number {
  const at = a.findIndex((value, i) => value !== b[i]);
  return at < 0 ? 0 : a[at]! - b[at]!;
}
