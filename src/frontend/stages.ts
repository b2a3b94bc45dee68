import { BuildError, nearestName, type SourceLocation } from '../errors.js';
import { limitHint, LIMITS } from '../oci/limits.js';
import type { ArgCommand, Command, FromCommand } from './command.js';
import { parseCommand } from './commands/parse-command.js';
import type { ParsedDockerfile } from './instruction-line.js';

export interface Stage {
  readonly index: number;
  readonly from: FromCommand;
  readonly commands: readonly Command[];
}

/** A Dockerfile as stages, with the ARGs before the first FROM. */
export interface StagedDockerfile {
  readonly globalArgs: readonly ArgCommand[];
  readonly stages: readonly Stage[];
}

/** @throws DOCKERFILE_SYNTAX and all that {@link parseCommand} throws */
export function splitStages(parsed: ParsedDockerfile): StagedDockerfile {
  const globalArgs: ArgCommand[] = [];
  const stages: { index: number; from: FromCommand; commands: Command[] }[] = [];
  for (const instruction of parsed.instructions) {
    const command = parseCommand(instruction);
    const stage = stages.at(-1);
    if (command.kind === 'from') {
      if (stages.length >= LIMITS.stages) throw tooManyStages(command.location);
      stages.push({ index: stages.length, from: command, commands: [] });
    } else if (stage) stage.commands.push(command);
    else if (command.kind === 'arg') globalArgs.push(command);
    else {
      throw new BuildError('DOCKERFILE_SYNTAX', 'no build stage in current context', {
        hint: 'a Dockerfile starts with FROM; only ARG may stand before it',
        location: command.location,
      });
    }
  }
  if (stages.length === 0) {
    throw new BuildError('DOCKERFILE_SYNTAX', 'dockerfile has no stages to build', {
      hint: 'add a FROM instruction',
      location: parsed.instructions.at(-1)!.location,
    });
  }
  return { globalArgs, stages };
}

function tooManyStages(location: SourceLocation): BuildError {
  return new BuildError('DOCKERFILE_SYNTAX', `the Dockerfile has more than ${LIMITS.stages} stages`, {
    hint: limitHint('stages'),
    location,
  });
}

/** The last stage of that name among the first `before` ones, letters' case aside. */
export function findStage(stages: readonly Stage[], name: string, before = stages.length): Stage | undefined {
  return stageBefore(stages, name.toLowerCase(), before);
}

const indexes = new WeakMap<readonly Stage[], Map<string, Stage[]>>();

/** The last stage with exactly that name among the first `before` ones. */
export function stageBefore(stages: readonly Stage[], name: string, before: number): Stage | undefined {
  let index = indexes.get(stages);
  if (!index) {
    index = new Map();
    for (const stage of stages) {
      const { stageName } = stage.from;
      if (stageName === undefined) continue;
      const known = index.get(stageName);
      if (known) known.push(stage);
      else index.set(stageName, [stage]);
    }
    indexes.set(stages, index);
  }
  const named = index.get(name) ?? [];
  let [low, high] = [0, named.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (named[middle]!.index < before) low = middle + 1;
    else high = middle;
  }
  return named[low - 1];
}

/** `--target`: a name, never an index. @throws STAGE_NOT_FOUND */
export function targetStage(stages: readonly Stage[], target: string | undefined): Stage {
  if (target === undefined || target === '') return stages.at(-1)!;
  const found = findStage(stages, target);
  if (!found) throw stageNotFound(stages, target, undefined);
  return found;
}

export function stageNotFound(
  stages: readonly Stage[],
  name: string,
  location: SourceLocation | undefined,
): BuildError {
  const names = stages.flatMap((stage) => stage.from.stageName ?? []);
  const nearest = nearestName(name, names);
  const listed =
    names.length === 0
      ? 'no stage has a name (FROM image AS name)'
      : `the stages are ${names.map((known) => `"${known}"`).join(', ')}`;
  return new BuildError(
    'STAGE_NOT_FOUND',
    `stage "${name}" not found${nearest ? `; did you mean "${nearest}"?` : ''}`,
    { hint: listed, location },
  );
}

/** What is shown in brackets before a step: the stage's name or `stage-N`, and nothing where the file has only one. */
export function stageLabel(stages: readonly Stage[], stage: Stage): string {
  return stages.length > 1 ? (stage.from.stageName ?? `stage-${stage.index}`) : '';
}
