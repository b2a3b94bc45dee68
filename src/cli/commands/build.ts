import { writeFileSync } from 'node:fs';
import { build } from '../../build.js';
import { BuildError } from '../../errors.js';
import type { OutputSpec } from '../../exporter/output-spec.js';
import type { BuildOptions, BuildResult } from '../../options.js';
import { type CommandContext, type GlobalOptions, storeOptions } from '../command-context.js';
import { parseOutput } from '../output-option.js';
import { parseSecret } from '../secret-option.js';
import { createDisplay, type ProgressMode } from '../progress/display.js';

export interface BuildFlags extends GlobalOptions {
  readonly file?: string;
  readonly buildArg?: readonly string[];
  readonly target?: string;
  readonly platform?: string;
  readonly pull?: boolean;
  readonly tag?: readonly string[];
  readonly output?: readonly string[];
  readonly secret?: readonly string[];
  readonly push?: boolean;
  readonly label?: readonly string[];
  readonly annotation?: readonly string[];
  readonly iidfile?: string;
  readonly metadataFile?: string;
  /** False with --no-cache. */
  readonly cache: boolean;
  readonly cacheFilter?: readonly string[] | boolean;
  readonly noCacheFilter?: readonly string[];
  readonly jobs?: string;
  readonly network?: string;
  readonly addHost?: readonly string[];
  readonly quiet?: boolean;
  readonly provenance?: string;
  readonly sbom?: string;
}

/** `tsbuild build`: shows progress, writes the files that were asked for, prints the image ID with -q. */
export async function runBuild(path: string, flags: BuildFlags, context: CommandContext): Promise<void> {
  const options = buildOptions(path, flags, context);
  const display = createDisplay(
    flags.quiet ? 'quiet' : ((flags.progress ?? 'auto') as ProgressMode),
    process.stderr,
  );
  let result: BuildResult;
  try {
    result = await build({ ...options, onProgress: (event) => display.show(event) });
  } finally {
    display.close();
  }
  const id = imageIdOf(result);
  if (flags.iidfile && id) writeResult(flags.iidfile, id);
  if (flags.metadataFile) writeResult(flags.metadataFile, `${JSON.stringify(metadataOf(result), null, 2)}\n`);
  if (flags.quiet && id) process.stdout.write(`${id}\n`);
}

function buildOptions(path: string, flags: BuildFlags, context: CommandContext): BuildOptions {
  for (const [name, value] of [
    ['provenance', flags.provenance],
    ['sbom', flags.sbom],
  ] as const) {
    if (value !== undefined && value !== 'false') {
      throw new BuildError('UNSUPPORTED', `attestations (--${name}) are not supported in this version`, {
        hint: `leave the flag out, or write --${name}=false`,
      });
    }
  }
  const network = flags.network;
  if (network !== undefined && network !== 'default' && network !== 'none' && network !== 'host') {
    throw new BuildError('USAGE', `--network "${network}" is not known`, {
      hint: 'use default, none or host',
    });
  }
  const filter = [flags.noCacheFilter, flags.cacheFilter].find(Array.isArray) as
    readonly string[] | undefined;
  return {
    ...storeOptions(flags, context),
    context: path,
    tags: flags.tag ?? [],
    buildArgs: pairsOf('--build-arg', flags.buildArg, true),
    labels: pairsOf('--label', flags.label, false),
    annotations: pairsOf('--annotation', flags.annotation, false),
    addHosts: flags.addHost ?? [],
    outputs: outputsOf(flags),
    secrets: Object.fromEntries((flags.secret ?? []).map(parseSecret)),
    noCache: !flags.cache,
    noCacheFilter: (filter ?? []).flatMap((stages) => stages.split(',')),
    ...(flags.file === undefined ? {} : { file: flags.file }),
    ...(flags.target === undefined ? {} : { target: flags.target }),
    ...(flags.platform === undefined ? {} : { platforms: flags.platform.split(',') }),
    ...(flags.pull ? { pull: true } : {}),
    ...(network === undefined ? {} : { network }),
    ...(flags.jobs === undefined ? {} : { jobs: jobsOf(flags.jobs) }),
  };
}

/** `K=V`; for build arguments `K` alone takes the environment's value, and is left out where there is none. */
function pairsOf(
  flag: string,
  values: readonly string[] | undefined,
  fromEnvironment: boolean,
): Record<string, string> {
  const pairs: Record<string, string> = {};
  for (const value of values ?? []) {
    const equals = value.indexOf('=');
    const name = equals < 0 ? value : value.slice(0, equals);
    if (name === '')
      throw new BuildError('USAGE', `${flag} "${value}" has no name`, { hint: `write ${flag} NAME=VALUE` });
    const given = equals < 0 ? (fromEnvironment ? process.env[name] : '') : value.slice(equals + 1);
    if (given !== undefined) pairs[name] = given;
  }
  return pairs;
}

function outputsOf(flags: BuildFlags): OutputSpec[] {
  const outputs = (flags.output ?? []).map(parseOutput);
  if (!flags.push) return outputs;
  if (outputs.length === 0) return [{ type: 'image', push: true }];
  return outputs.map((output) => (output.type === 'image' ? { ...output, push: true } : output));
}

function jobsOf(text: string): number {
  if (/^[1-9]\d{0,3}$/.test(text)) return Number(text);
  throw new BuildError('USAGE', `--jobs "${text}" is not a number of 1 or more`);
}

/** As buildx: the config's digest, for several platforms the index's. */
function imageIdOf(result: BuildResult): string | undefined {
  return result.platforms.length === 1 ? result.platforms[0]!.imageId : result.descriptor?.digest;
}

function metadataOf(result: BuildResult): Record<string, unknown> {
  const id = result.platforms.length === 1 ? result.platforms[0]!.imageId : undefined;
  return {
    ...(id ? { 'containerimage.config.digest': id } : {}),
    ...(result.descriptor
      ? { 'containerimage.descriptor': result.descriptor, 'containerimage.digest': result.descriptor.digest }
      : {}),
    ...(result.names.length > 0 ? { 'image.name': result.names.join(',') } : {}),
  };
}

function writeResult(file: string, text: string): void {
  try {
    writeFileSync(file, text);
  } catch (error) {
    throw new BuildError('EXPORT_FAILED', `"${file}" cannot be written: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
