import { posix } from 'node:path';
import { BuildError } from '../../errors.js';
import type { Edge, VertexOptions } from '../../graph/definition.js';
import type { FileAction, Owner } from '../../graph/op.js';
import type { CopyCommand } from '../command.js';
import { refuseRemote } from '../commands/remote-source.js';
import { expandWord } from '../expansion.js';
import { chompTabs } from '../heredoc.js';
import { addVertex, type ConvertContext, expandIn, type StageState } from './stage-state.js';

/** COPY and ADD: one file vertex with an action for each source. `source` is where the sources are read from. */
export function convertCopy(
  context: ConvertContext,
  state: StageState,
  command: CopyCommand,
  source: Edge | undefined,
  options: VertexOptions,
  timestampSec: number | undefined,
): void {
  const expand = (text: string) => expandIn(context, state, text, command.location);
  const sources = command.sources.map(expand);
  for (const source of command.kind === 'add' ? sources : []) refuseRemote(source);
  const destination = expand(command.destination);
  const owner = command.chown === undefined ? undefined : parseOwner(expand(command.chown));
  const mode = command.chmod === undefined ? undefined : parseMode(expand(command.chmod), command);
  const several = sources.length + command.heredocs.length > 1;
  if (several && !isDirectoryWord(destination)) {
    throw new BuildError(
      'INVALID_VALUE',
      `When using ${command.kind.toUpperCase()} with more than one source file, the destination must be a directory and end with a /`,
      {
        hint: `write "${destination}/"`,
        location: command.location,
      },
    );
  }
  const inputs: Edge[] = state.head ? [state.head] : [];
  const input = source ? inputs.push(source) - 1 : -1;
  const target = posix.resolve(state.workingDirectory, destination);
  const attributes = {
    ...(owner === undefined ? {} : { owner }),
    ...(timestampSec === undefined ? {} : { timestampSec }),
  };
  const files = command.heredocs.map((heredoc): FileAction => {
    const content = heredoc.chomp ? chompTabs(heredoc.content) : heredoc.content;
    const data = heredoc.expand
      ? expandWord(content, { env: (name) => state.env.get(name), escape: '\\', skipQuotes: true }).value
      : content;
    const path = isDirectoryWord(destination) ? posix.join(target, heredoc.name) : target;
    return { kind: 'mkfile', path, mode: typeof mode === 'number' ? mode : 0o644, data, ...attributes };
  });
  const copies = sources.map((word): FileAction => ({
    kind: 'copy',
    input,
    source: command.parents ? pivotPath(word) : posix.resolve('/', word),
    destination: target,
    destinationIsDirectory: isDirectoryWord(destination),
    allowWildcard: true,
    unpack: command.kind === 'add' && command.unpack,
    ...attributes,
    ...(mode === undefined ? {} : { mode }),
    ...(command.excludes.length === 0 ? {} : { excludePatterns: command.excludes.map(expand) }),
    ...(command.parents ? { parents: true } : {}),
  }));
  state.head = addVertex(
    context,
    { kind: 'file', base: state.head ? 0 : -1, actions: [...copies, ...files], platform: state.platform },
    inputs,
    options,
  );
  const words = [
    command.kind.toUpperCase(),
    ...(command.parents ? ['--parents'] : []),
    ...(command.chown === undefined ? [] : [`--chown=${expand(command.chown)}`]),
    ...(command.chmod === undefined ? [] : [`--chmod=${expand(command.chmod)}`]),
    ...sources,
    ...command.heredocs.map((heredoc) => `<<${heredoc.name}`),
    destination,
  ];
  state.addHistory(`${words.join(' ')} # buildkit`, true);
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

function parseMode(text: string, command: CopyCommand): number | string {
  if (/^[0-7]{1,5}$/.test(text) && Number.parseInt(text, 8) <= 0o7777) return Number.parseInt(text, 8);
  if (/^([ugoa]*[+=-][rwxXst]*)(,[ugoa]*[+=-][rwxXst]*)*$/.test(text)) return text;
  throw new BuildError(
    'INVALID_VALUE',
    `invalid chmod parameter: '${text}'. it should be octal string and between 0 and 07777`,
    {
      hint: 'write an octal mode such as 755, or a symbolic one such as u=rwX,go=rX',
      location: command.location,
    },
  );
}
