import { BuildError } from '../../errors.js';
import type { Edge, VertexOptions } from '../../graph/definition.js';
import type { ExecMount, ExecOp } from '../../graph/op.js';
import type { RunCommand } from '../command.js';
import { chompTabs, parseHeredocWord } from '../heredoc.js';
import { runText } from '../history.js';
import { withShell } from './metadata.js';
import { addVertex, type ConvertContext, INLINE_DOCUMENT, type StageState } from './stage-state.js';
import { textBytes } from './text-budget.js';

export interface RunSettings {
  readonly network: ExecOp['network'];
  readonly allow: readonly string[];
  readonly shmSizeBytes?: number;
  readonly ulimits: readonly string[];
  readonly buildArgs: Readonly<Record<string, string>>;
  readonly describesOnly?: boolean;
}

/** RUN: one exec vertex, and for a heredoc script a file that is bound into it. */
export function convertRun(
  context: ConvertContext,
  state: StageState,
  command: RunCommand,
  options: VertexOptions,
  settings: RunSettings,
  extra: { readonly mounts: readonly ExecMount[]; readonly inputs: readonly Edge[] },
): void {
  if (!settings.describesOnly) refuseWhatIsNotAllowed(command, settings);
  const { args, script } = runArguments(context, state, command);
  const inputs: Edge[] = [...(state.head ? [state.head] : []), ...extra.inputs];
  const mounts: ExecMount[] = [...extra.mounts];
  if (script) {
    mounts.push({
      type: 'bind',
      input: inputs.length,
      source: `/${script.name}`,
      target: script.path,
      readonly: true,
    });
    inputs.push(script.edge);
  }
  const hostname = settings.buildArgs['BUILDKIT_SANDBOX_HOSTNAME'];
  const op: ExecOp = {
    kind: 'exec',
    root: state.head ? 0 : -1,
    args,
    env: environmentOf(context, state),
    cwd: state.workingDirectory,
    user: state.config.User ?? '',
    ...(hostname ? { hostname } : {}),
    network: command.network ?? settings.network,
    security: command.security ?? 'sandbox',
    mounts,
    ...(settings.shmSizeBytes === undefined ? {} : { shmSizeBytes: settings.shmSizeBytes }),
    ...(settings.ulimits.length === 0 ? {} : { ulimits: settings.ulimits }),
    platform: state.platform,
  };
  state.head = addVertex(context, op, inputs, options);
  state.addHistory(runText(args, scopedArgs(state)), true);
}

/** A Dockerfile asks for more rights; who builds it must have given them. */
function refuseWhatIsNotAllowed({ network, security, location }: RunCommand, settings: RunSettings): void {
  const isHostBuild = settings.network === 'host';
  for (const [asks, right, flag] of [
    [network === 'host' && !isHostBuild, 'network.host', '--network=host'],
    [security === 'insecure', 'security.insecure', '--security=insecure'],
  ] as const) {
    if (!asks || settings.allow.includes(right)) continue;
    throw new BuildError('NOT_PERMITTED', `RUN ${flag} asks for the entitlement "${right}"`, {
      hint: `if you trust this Dockerfile, build it with --allow ${right}`,
      location,
    });
  }
}

interface Script {
  readonly name: string;
  readonly path: string;
  readonly edge: Edge;
}

/**
 * A lone heredoc is the whole script: with `#!` a file of its own, else the shell's argument. Beside other text, bodies and
 * terminators go to the shell as they are written.
 */
function runArguments(
  context: ConvertContext,
  state: StageState,
  command: RunCommand,
): { args: readonly string[]; script?: Script } {
  const { heredocs } = command;
  if (heredocs.length === 0) return { args: withShell(state, command) };
  const line = command.args[0]!;
  const [only] = heredocs;
  if (heredocs.length === 1 && parseHeredocWord(line.trim())) {
    const content = only!.chomp ? chompTabs(only!.content) : only!.content;
    if (!content.startsWith('#!')) return { args: withShell(state, { args: [content], shellForm: true }) };
    const path = `/dev/pipes/${only!.name}`;
    const edge = addVertex(
      context,
      {
        kind: 'file',
        base: -1,
        actions: [{ kind: 'mkfile', path: `/${only!.name}`, mode: 0o755, data: content }],
      },
      [],
      { name: INLINE_DOCUMENT, location: command.location },
    );
    return {
      args: withShell(state, { args: [path], shellForm: true }),
      script: { name: only!.name, path, edge },
    };
  }
  const bodies = heredocs.map((heredoc) => `\n${heredoc.content}${heredoc.name}`).join('');
  return { args: withShell(state, { args: [line + bodies], shellForm: true }) };
}

/** The variables stand in each RUN of their own, so each counts. */
function environmentOf(context: ConvertContext, state: StageState): string[] {
  const environment = state.environment();
  context.budget.spend(textBytes(environment));
  return environment;
}

/** `NAME=value` of each ARG once, in the order of declaration, with the value that RUN sees. */
function scopedArgs(state: StageState): string[] {
  const names = [...new Set(state.buildArgs.map((arg) => arg.name))];
  return names.map((name) => `${name}=${state.env.get(name) ?? ''}`);
}
