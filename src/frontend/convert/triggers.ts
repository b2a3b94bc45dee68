import { BuildError } from '../../errors.js';
import type { Command } from '../command.js';
import { parseCommand } from '../commands/parse-command.js';
import { parseDockerfile } from '../parse.js';
import type { Stage } from '../stages.js';
import type { StageState } from './stage-state.js';

/** ONBUILD triggers of the base: parsed with the default escape, run once, then gone from the config. @throws DOCKERFILE_SYNTAX */
export function takeTriggers(state: StageState, stage: Stage): Command[] {
  const triggers = state.config.OnBuild ?? [];
  if (triggers.length === 0) return [];
  delete state.config.OnBuild;
  return triggers.map((expression) => parseTrigger(expression, stage));
}

function parseTrigger(expression: string, stage: Stage): Command {
  const { location } = stage.from;
  let parsed;
  try {
    parsed = parseDockerfile(`${expression}\n`, location.file);
  } catch (error) {
    throw new BuildError(
      'DOCKERFILE_SYNTAX',
      `the ONBUILD trigger "${expression}" of the base image is not valid: ${(error as Error).message}`,
      { cause: error, location },
    );
  }
  if (parsed.instructions.length !== 1) {
    throw new BuildError(
      'DOCKERFILE_SYNTAX',
      `the ONBUILD trigger "${expression}" of the base image is not one instruction`,
      { location },
    );
  }
  return { ...parseCommand({ ...parsed.instructions[0]!, location }), location, isTrigger: true };
}
