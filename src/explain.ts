import { basename, join, relative, resolve } from 'node:path';
import { prunedAtMs } from './cache/pruned.js';
import { type BuildNames, StepHistory } from './cache/step-history.js';
import type { Definition } from './graph/definition.js';
import { parseReference, isReference } from './oci/reference.js';
import type { BuildOptions } from './options.js';
import type { ProgressListener } from './progress.js';
import { redactUrls } from './secrets/redact-text.js';
import { Explainer } from './solver/explainer.js';
import { explanationText } from './solver/explanation-text.js';
import type { Store } from './store.js';

type SubjectOptions = Pick<BuildOptions, 'context' | 'file' | 'dockerfileText' | 'tags' | 'target'>;

/** The steps of earlier builds of the same Dockerfile in the same context. */
export function openStepHistory(options: SubjectOptions, store: Pick<Store, 'state'>): StepHistory {
  const subject = historySubject(options);
  return new StepHistory(store.state.steps, subject, namesOf(options, subject));
}

/** Directories by their absolute path. What comes in through a pipe has no name but the image's. */
function historySubject({ context, file, dockerfileText, tags = [] }: SubjectOptions): string[] {
  if (context === '-') return ['-', tags[0] ?? ''];
  const place = isDirectory(context) ? resolve(context) : redactUrls(context);
  if (dockerfileText !== undefined || file === '-') return [place, '-', tags[0] ?? ''];
  return [place, file === undefined ? join(place, 'Dockerfile') : resolve(file)];
}

/** What stays when the same thing is built in another place, or under another tag. */
function namesOf({ context, tags, target }: SubjectOptions, [place = '', file = '']: string[]): BuildNames {
  const [tag = ''] = tags ?? [];
  const { domain, repository } = isReference(tag) ? parseReference(tag) : {};
  return {
    ...(repository === undefined ? {} : { image: `${domain}/${repository}` }),
    ...(target === undefined ? {} : { target }),
    directory: basename(place),
    dockerfile: isDirectory(context) && file !== '-' ? relative(place, file) : file,
  };
}

function isDirectory(context: string): boolean {
  return context !== '-' && !/^[\w+.-]+(:\/\/|@)/.test(context);
}

/** The last build of a context, or of all. Undefined where the store knows none. */
export function lastBuildHistory(
  store: Pick<Store, 'state'>,
  subject: Pick<BuildOptions, 'context' | 'file'> | undefined,
): StepHistory | undefined {
  const history = subject ? openStepHistory(subject, store) : StepHistory.newest(store.state.steps);
  return history?.last && history;
}

export interface ExplainContext {
  readonly store: Store;
  readonly definition: Definition;
  readonly onProgress: ProgressListener;
}

/** Explains the build's steps as progress events. */
export function createExplainer(
  options: BuildOptions,
  { store, definition, onProgress }: ExplainContext,
): Explainer {
  return new Explainer({
    definition,
    history: openStepHistory(options, store),
    prunedAtMs: (key) => prunedAtMs(store.state.pruned, key),
    explainsAll: options.explain ?? false,
    onExplained: ({ digest }, explanation) =>
      onProgress({
        kind: 'explained',
        digest,
        atMs: Date.now(),
        explanation,
        text: explanationText(explanation),
      }),
  });
}
