import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { markUsed } from '../../cache/leases.js';
import { processStamp } from '../../cache/process-stamp.js';
import { namesIn } from '../../cache/if-there.js';
import { BuildError } from '../../errors.js';
import type { Layer, SnapshotResult } from '../../graph/contract.js';
import type { ExecOp } from '../../graph/op.js';
import type { SecretOrigin } from '../../secrets/secret-vault.js';
import type { SshOrigin } from './ssh-agents.js';

/** More would fill the disk with what nobody looks at. */
const MOST_KEPT = 3;
const LONGEST_KEPT_MS = 7 * 86_400_000;
/** Also says, by its mtime, when the step was last looked at. */
const DESCRIPTION = 'step.json';

/** Where the values of a build's secrets were, never what they were. */
export interface SecretPlaces {
  readonly secrets: Readonly<Record<string, SecretOrigin>>;
  readonly ssh: Readonly<Record<string, SshOrigin>>;
}

/** A RUN that failed: all that its process had, so that another one can be started in its place. */
export interface FailedStepDescription extends SecretPlaces {
  readonly name: string;
  /** Why it failed. */
  readonly message: string;
  /** RFC 3339. */
  readonly failedAt: string;
  readonly logPath?: string;
  /** Below its own files. */
  readonly parents: readonly Layer[];
  readonly inputs: readonly SnapshotResult[];
  readonly op: ExecOp;
  readonly extraHosts: readonly string[];
}

export interface FailedStepFiles extends FailedStepDescription {
  readonly id: string;
  /** What the step had written until it failed, in overlay upper form. */
  readonly upper: string;
}

/**
 * Keeps the files of a step that failed as `<directory>/<id>/upper`, with a description beside them, and gives the id. Of the
 * steps kept before, the last two stay, for a week.
 * @param upper is renamed away
 */
export function keepFailedStep(directory: string, upper: string, description: FailedStepDescription): string {
  const id = randomBytes(4).toString('hex');
  const temporary = join(directory, `.${processStamp()}-${id}`);
  mkdirSync(temporary, { recursive: true, mode: 0o700 });
  renameSync(upper, join(temporary, 'upper'));
  writeFileSync(join(temporary, DESCRIPTION), JSON.stringify(description), { mode: 0o600 });
  renameSync(temporary, join(directory, id));
  const isOld = ({ failedAt }: FailedStepFiles) => Date.now() - Date.parse(failedAt) > LONGEST_KEPT_MS;
  for (const [i, step] of listFailedSteps(directory).entries())
    if (i >= MOST_KEPT || isOld(step)) rmSync(join(directory, step.id), { recursive: true, force: true });
  return id;
}

/** The last one first. */
export function listFailedSteps(directory: string): FailedStepFiles[] {
  return namesIn(directory)
    .filter((name) => /^[0-9a-f]{8}$/.test(name))
    .flatMap((id) => readFailedStep(directory, id) ?? [])
    .sort((a, b) => b.failedAt.localeCompare(a.failedAt));
}

/** Marks it as used, so that prune leaves it. @param id or its beginning. @throws USAGE */
export function findFailedStep(directory: string, id: string): FailedStepFiles {
  const steps = listFailedSteps(directory);
  const [found, ...others] = steps.filter((step) => step.id.startsWith(id));
  if (found && others.length === 0 && markUsed(join(directory, found.id, DESCRIPTION))) return found;
  const known = steps.map((step) => step.id).join(', ');
  throw new BuildError(
    'USAGE',
    `${found ? 'several failed steps begin' : 'no failed step is kept'} with "${id}"`,
    {
      hint: known === '' ? `the last ${MOST_KEPT} steps that fail are kept for a week` : `kept are ${known}`,
    },
  );
}

/** Undefined where another process is just removing it. */
function readFailedStep(directory: string, id: string): FailedStepFiles | undefined {
  try {
    const description = JSON.parse(
      readFileSync(join(directory, id, DESCRIPTION), 'utf8'),
    ) as FailedStepDescription;
    return { ...description, id, upper: join(directory, id, 'upper') };
  } catch {
    return undefined;
  }
}
