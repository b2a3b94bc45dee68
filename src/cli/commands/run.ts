import { BuildError } from '../../errors.js';
import { runImage } from '../../run.js';
import { type CommandContext, type GlobalOptions, storeOptions } from '../command-context.js';

interface RunFlags extends GlobalOptions {
  readonly env?: readonly string[];
  readonly user?: string;
  readonly workdir?: string;
  readonly entrypoint?: string;
  readonly network?: string;
}

/** `tsbuild run`: gives the program's own exit status. */
export async function runRun(
  image: string,
  command: readonly string[],
  flags: RunFlags,
  context: CommandContext,
): Promise<number> {
  const { network, user, workdir, entrypoint } = flags;
  if (network !== undefined && network !== 'host' && network !== 'none' && network !== 'default') {
    throw new BuildError('USAGE', `--network "${network}" is not known`, {
      hint: 'use default, none or host',
    });
  }
  const env = (flags.env ?? []).flatMap((pair) =>
    pair.includes('=') ? [pair] : process.env[pair] === undefined ? [] : [`${pair}=${process.env[pair]}`],
  );
  return runImage({
    ...storeOptions(flags, context),
    image,
    command,
    env,
    onNote: (message) => process.stderr.write(`${message}\n`),
    ...(network === undefined ? {} : { network }),
    ...(user === undefined ? {} : { user }),
    ...(workdir === undefined ? {} : { workdir }),
    ...(entrypoint === undefined ? {} : { entrypoint }),
  });
}
