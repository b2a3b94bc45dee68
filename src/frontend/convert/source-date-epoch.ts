import { BuildError, locateError } from '../../errors.js';
import type { SourceOp } from '../../graph/op.js';
import type { CopyCommand } from '../command.js';
import { type ContextSource, findContext, type NamedContexts } from '../context-source.js';
import { expandWord } from '../expansion.js';
import type { Platform } from '../../oci/platform.js';
import type { Stage } from '../stages.js';
import type { GlobalScope } from './global-scope.js';
import { remoteSource } from './remote-add.js';

/** The port through which the frontend learns how old remote files are; build.ts fills it. */
export interface SourceInspector {
  /**
   * Time of a source, seconds since the epoch: of the commit, of Last-Modified, or of the newest file in an archive.
   * Undefined where it has none.
   */
  modifiedSec(op: SourceOp, signal: AbortSignal): Promise<number | undefined>;
}

export interface EpochOptions {
  readonly mainContext: ContextSource;
  readonly namedContexts: NamedContexts;
  readonly platform: Platform;
  readonly stages: readonly Stage[];
  readonly globals: GlobalScope;
  readonly buildArgs: Readonly<Record<string, string>>;
  readonly escape: '\\' | '`';
  readonly inspector: SourceInspector;
  readonly signal: AbortSignal;
}

/**
 * SOURCE_DATE_EPOCH as seconds: a number, or the age of `context`, of a context with a name, or of the one remote ADD of a
 * stage. A local directory has no age, so that it stays unset.
 * @throws INVALID_VALUE
 */
export async function resolveSourceDateEpoch(
  value: string,
  options: EpochOptions,
): Promise<number | undefined> {
  if (value === '') return undefined;
  if (/^[+-]?\d{1,15}$/.test(value)) return Number(value);
  const op = sourceOf(value, options);
  return op && options.inspector.modifiedSec(op, options.signal);
}

function sourceOf(value: string, options: EpochOptions): SourceOp | undefined {
  if (value === 'context') return opOf(options.mainContext);
  const context = findContext(options.namedContexts, value, options.platform);
  if (context) return opOf(context);
  const stage = options.stages.find(({ from }) => from.stageName === value.toLowerCase());
  if (stage) return stageSource(stage, options);
  throw new BuildError('INVALID_VALUE', `invalid SOURCE_DATE_EPOCH: ${value}`, {
    hint: 'set it to seconds since 1970 such as $(git log -1 --pretty=%ct), to "context", or to a context or stage',
  });
}

function opOf(source: ContextSource): SourceOp | undefined {
  return source.kind === 'remote' ? source.op : undefined;
}

/** A stage that gives its age has FROM scratch, ARGs, and exactly one ADD of one remote source. */
function stageSource(stage: Stage, { globals, buildArgs, escape }: EpochOptions): SourceOp {
  const invalid = (message: string) =>
    new BuildError('INVALID_VALUE', message, { location: stage.from.location });
  if (globals.expand(stage.from.image, stage.from.location).value !== 'scratch')
    throw invalid('SOURCE_DATE_EPOCH stage must use FROM scratch');
  const env = new Map(globals.values);
  env.delete('SOURCE_DATE_EPOCH');
  const expand = (text: string) => expandWord(text, { env: (name) => env.get(name), escape }).value;
  let source: SourceOp | undefined;
  for (const command of stage.commands) {
    if (command.kind === 'arg') {
      for (const { name, value } of command.args) {
        const given = Object.hasOwn(buildArgs, name) ? buildArgs[name] : value && expand(value);
        if (given !== undefined) env.set(name, given);
      }
      continue;
    }
    if (command.kind !== 'add') {
      throw invalid(
        `SOURCE_DATE_EPOCH stage does not meet source-only requirements: unsupported ${command.kind.toUpperCase()} instruction`,
      );
    }
    if (source) throw invalid('SOURCE_DATE_EPOCH stage must contain exactly one remote ADD');
    source = addedSource(command, expand);
  }
  if (!source) throw invalid('SOURCE_DATE_EPOCH stage must contain exactly one remote ADD');
  return source;
}

function addedSource(command: CopyCommand, expand: (text: string) => string): SourceOp {
  const { location } = command;
  try {
    const remote =
      command.sources.length === 1 && command.heredocs.length === 0
        ? remoteSource(command, expand(command.sources[0]!), expand)
        : undefined;
    if (remote) return remote.op;
  } catch (error) {
    throw locateError(error, { location });
  }
  throw new BuildError(
    'INVALID_VALUE',
    'SOURCE_DATE_EPOCH stage source must be a single HTTP(S) or Git ADD',
    {
      location,
    },
  );
}
