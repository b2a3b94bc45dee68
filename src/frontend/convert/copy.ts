import { posix } from 'node:path';
import { BuildError } from '../../errors.js';
import type { Edge, VertexOptions } from '../../graph/definition.js';
import type { CopyAction, FileAction, Owner } from '../../graph/op.js';
import type { CopyCommand } from '../command.js';
import { chompTabs } from '../heredoc.js';
import { lintCopy } from '../lint/instruction-rules.js';
import { remoteSource } from './remote-add.js';
import {
  addVertex,
  type ConvertContext,
  expandBodyIn,
  expandIn,
  INLINE_DOCUMENT,
  type StageState,
} from './stage-state.js';

export interface CopySettings {
  /** Of the context that COPY without `--from` reads. */
  readonly ignorePatterns: readonly string[];
  readonly timestampSec?: number;
}

/** COPY and ADD: one file vertex with an action for each source. `source` is asked for paths, and tells where they are. */
export async function convertCopy(
  context: ConvertContext,
  state: StageState,
  command: CopyCommand,
  source: () => Promise<Edge>,
  options: VertexOptions,
  { ignorePatterns, timestampSec }: CopySettings,
): Promise<void> {
  const expand = (text: string) => expandIn(context, state, text, command.location);
  const sources = command.sources.map(expand);
  const destination = expand(command.destination);
  const remotes = sources.map((word) => remoteSource(command, word, expand));
  const paths = sources.filter((_, i) => remotes[i] === undefined);
  if (command.checksum !== undefined && (sources.length !== 1 || paths.length > 0))
    throw new BuildError(
      'INVALID_VALUE',
      paths.length > 0
        ? 'checksum requires HTTP(S) or Git sources'
        : "checksum can't be specified for multiple sources",
      { location: command.location },
    );
  lintCopy(command, paths, destination, ignorePatterns, context.linter);
  const chown = expand(command.chown ?? '');
  const chmod = expand(command.chmod ?? '');
  const inputs: Edge[] = state.head ? [state.head] : [];
  const input = paths.length > 0 ? inputs.push(await source()) - 1 : -1;
  const target = posix.resolve(state.workingDirectory, destination);
  const attributes = {
    kind: 'copy',
    destination: target,
    destinationIsDirectory: isDirectoryWord(destination),
    ...(destination.endsWith('/.') ? { endsInDot: true } : {}),
    ...(chown === '' ? {} : { owner: parseOwner(chown) }),
    ...(chmod === '' ? {} : { mode: parseMode(chmod, command) }),
    ...(timestampSec === undefined ? {} : { timestampSec }),
  } as const;
  const excludes = command.excludes.length === 0 ? {} : { excludePatterns: command.excludes };
  const copies = sources.map((word, i): FileAction => {
    const remote = remotes[i];
    if (!remote)
      return {
        ...attributes,
        input,
        source: command.parents ? pivotPath(word) : posix.resolve('/', word),
        allowWildcard: true,
        unpack: command.unpack ?? command.kind === 'add',
        ...excludes,
        ...(command.parents ? { parents: true } : {}),
      };
    const { location } = command;
    const edge = addVertex(context, remote.op, [], { name: options.name, location });
    const { path, unpack } = remote;
    return {
      ...attributes,
      ...excludes,
      input: inputs.push(edge) - 1,
      source: path,
      allowWildcard: false,
      unpack,
    };
  });
  const files = heredocActions(context, state, command, inputs, { ...attributes, unpack: false });
  state.head = addVertex(
    context,
    {
      kind: 'file',
      base: state.head ? 0 : -1,
      actions: [...copies, ...files],
      // With --chmod, BuildKit ignores --link.
      ...(command.link && chmod === '' ? { isIndependent: true } : {}),
      platform: state.platform,
    },
    inputs,
    options,
  );
  const words = [
    command.kind.toUpperCase(),
    ...(command.parents ? ['--parents'] : []),
    ...(chown === '' ? [] : [`--chown=${chown}`]),
    ...(chmod === '' ? [] : [`--chmod=${chmod}`]),
    ...sources,
    ...command.heredocs.map((heredoc) => `<<${heredoc.name}`),
    destination,
  ];
  state.addHistory(`${words.join(' ')} # buildkit`, true);
}

/** Heredocs are files of a directory of their own, and copied from there like any other. Variables keep quotes as they are. */
function heredocActions(
  context: ConvertContext,
  state: StageState,
  command: CopyCommand,
  inputs: Edge[],
  attributes: Omit<CopyAction, 'input' | 'source' | 'allowWildcard'>,
): FileAction[] {
  if (command.heredocs.length === 0) return [];
  const actions = command.heredocs.map((heredoc): FileAction => {
    const content = heredoc.chomp ? chompTabs(heredoc.content) : heredoc.content;
    const data = heredoc.expand ? expandBodyIn(context, state, content, command.location) : content;
    return { kind: 'mkfile', path: `/${heredoc.name}`, mode: 0o644, data };
  });
  const edge = addVertex(context, { kind: 'file', base: -1, actions }, [], {
    name: INLINE_DOCUMENT,
    location: command.location,
  });
  const input = inputs.push(edge) - 1;
  return command.heredocs.map(({ name }) => ({
    ...attributes,
    input,
    source: `/${name}`,
    allowWildcard: false,
  }));
}

/** `--parents` gives the first `/./` a meaning, so only what is around it is cleaned. */
function pivotPath(word: string): string {
  const path = `/${word.replace(/^(\.?\/+)+/, '')}`;
  const pivot = path.indexOf('/./', 1);
  if (pivot < 0) return posix.resolve('/', path);
  return `${posix.resolve('/', path.slice(0, pivot))}/./${posix.resolve('/', path.slice(pivot + 3)).slice(1)}`;
}

function isDirectoryWord(word: string): boolean {
  return word === '' || word === '.' || word.endsWith('/') || word.endsWith('/.');
}

/** `user`, `user:group`. */
export function parseOwner(text: string): Owner {
  const colon = text.indexOf(':');
  return colon < 0 ? { user: text } : { user: text.slice(0, colon), group: text.slice(colon + 1) };
}

const CLAUSE = '[ugoa]*(?:[+=-](?:[rwxXst]*|[ugo]))+';
const SYMBOLIC_MODE = new RegExp(`^${CLAUSE}(?:,${CLAUSE})*$`);

function parseMode(text: string, command: CopyCommand): number | string {
  if (/^[0-7]+$/.test(text) && Number.parseInt(text, 8) <= 0o7777) return Number.parseInt(text, 8);
  if (SYMBOLIC_MODE.test(text)) return text;
  throw new BuildError(
    'INVALID_VALUE',
    `invalid chmod parameter: '${text}'. it should be octal string and between 0 and 07777`,
    {
      hint: 'write an octal mode such as 755, or a symbolic one such as u=rwX,go=rX',
      location: command.location,
    },
  );
}
