import { BuildError } from '../../errors.js';
import { importImage, loadImages, pullImage, pushImage, saveImages } from '../../images.js';
import type { ProgressListener } from '../../progress.js';
import { type CommandContext, type GlobalOptions, storeOptions } from '../command-context.js';
import { createDisplay, type ProgressMode } from '../progress/display.js';

interface TransferFlags extends GlobalOptions {
  readonly output: string;
  readonly input: string;
  readonly format: string;
  readonly platform?: string;
}

export async function save(
  names: readonly string[],
  flags: TransferFlags,
  context: CommandContext,
): Promise<void> {
  const { output, format } = flags;
  if (format !== 'docker' && format !== 'oci')
    throw new BuildError('USAGE', `--format "${format}" is not known`, { hint: 'use docker or oci' });
  if (output === '-' && process.stdout.isTTY)
    throw new BuildError('USAGE', 'an archive is not written to a terminal', {
      hint: 'write -o FILE, or redirect the output',
    });
  await saveImages(names, { ...storeOptions(flags, context), output, format });
}

export async function load(flags: TransferFlags, context: CommandContext): Promise<void> {
  if (flags.input === '-' && process.stdin.isTTY)
    throw new BuildError('USAGE', 'there is no archive on standard input', {
      hint: 'write -i FILE, or redirect the input',
    });
  for (const name of await loadImages({ ...storeOptions(flags, context), input: flags.input }))
    process.stdout.write(`loaded ${name}\n`);
}

export async function importTar(
  input: string,
  name: string,
  flags: TransferFlags,
  context: CommandContext,
): Promise<void> {
  const { platform } = flags;
  const id = await importImage({
    ...storeOptions(flags, context),
    input,
    name,
    ...(platform === undefined ? {} : { platform }),
  });
  process.stdout.write(`${id}\n`);
}

export async function pull(name: string, flags: TransferFlags, context: CommandContext): Promise<void> {
  const { platform } = flags;
  await withDisplay(flags, (onProgress) =>
    pullImage(name, {
      ...storeOptions(flags, context),
      onProgress,
      ...(platform === undefined ? {} : { platform }),
    }),
  );
}

export async function push(name: string, flags: TransferFlags, context: CommandContext): Promise<void> {
  await withDisplay(flags, (onProgress) => pushImage(name, { ...storeOptions(flags, context), onProgress }));
}

/** Shows progress and prints the digest. */
async function withDisplay(
  flags: GlobalOptions,
  run: (onProgress: ProgressListener) => Promise<{ digest: string }>,
): Promise<void> {
  const display = createDisplay((flags.progress ?? 'auto') as ProgressMode);
  try {
    const { digest } = await run((event) => display.show(event));
    process.stdout.write(`${digest}\n`);
  } finally {
    display.close();
  }
}
