import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { build } from '../../build.js';
import { stateRootPath } from '../../cache/state-root.js';
import { BuildError } from '../../errors.js';
import { exportFailed } from '../../exporter/archive.js';
import { writesStandardOutput } from '../../exporter/destinations.js';
import type { OutputSpec } from '../../exporter/output-spec.js';
import type { SecretScanMode } from '../../secrets/leak-check.js';
import type { BuildOptions, BuildResult } from '../../options.js';
import type { ProgressEvent } from '../../progress.js';
import { realUid } from '../../worker/sys/namespaces.js';
import { currentWitness } from '../../worker/sys/witness.js';
import { type CommandContext, type GlobalOptions, storeOptions } from '../command-context.js';
import { parseDuration } from '../duration-option.js';
import { parseCacheOption } from '../cache-option.js';
import { parseOutput } from '../output-option.js';
import { parseResources } from '../resource-option.js';
import { parseSecret, parseSsh } from '../secret-option.js';
import { parseBytes } from '../size-option.js';
import { type CallMethod, parseCall } from './call-method.js';
import { createExplainReport } from '../explain-report.js';
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
  readonly secretScan?: SecretScanMode;
  readonly ssh?: readonly string[];
  readonly buildArgFile?: readonly string[];
  readonly buildContext?: readonly string[];
  readonly allow?: readonly string[];
  readonly shmSize?: string;
  readonly ulimit?: readonly string[];
  readonly resource?: readonly string[];
  readonly check?: boolean;
  readonly checkExtra?: boolean;
  readonly call?: string;
  readonly verifyReproducible?: boolean;
  readonly push?: boolean;
  readonly load?: boolean;
  readonly label?: readonly string[];
  readonly annotation?: readonly string[];
  readonly iidfile?: string;
  readonly metadataFile?: string;
  /** False with --no-cache. */
  readonly cache: boolean;
  readonly cacheFilter?: readonly string[] | boolean;
  readonly noCacheFilter?: readonly string[];
  readonly cacheFrom?: readonly string[];
  readonly cacheTo?: readonly string[];
  readonly contextMode?: 'keep' | 'git';
  readonly explain?: boolean;
  /** `--explain=FORMAT`. */
  readonly explainAs?: string;
  readonly jobs?: string;
  readonly timeout?: string;
  readonly stepTimeout?: string;
  readonly idleTimeout?: string;
  readonly keepGoing?: boolean;
  readonly onFailExport?: readonly string[];
  readonly keepStorage?: string;
  readonly network?: string;
  readonly addHost?: readonly string[];
  readonly quiet?: boolean;
  readonly provenance?: string;
  readonly sbom?: string;
}

const MOST_SAID = 1 << 16;

/**
 * `tsbuild build`: shows progress, writes the files that were asked for, prints the image ID with -q; with --check and
 * --call it only says what the Dockerfile is. Gives the exit status.
 */
export async function runBuild(path: string, flags: BuildFlags, context: CommandContext): Promise<number> {
  const options = buildOptions(path, flags, context);
  const call = callOf(flags);
  if (call) return (await import('./call.js')).runCall(call, options);
  const mayRepeat = isRepeatable(options, flags);
  if (!mayRepeat) currentWitness()?.unseen('what is read or written elsewhere');
  const mode = flags.quiet ? 'quiet' : ((flags.progress ?? 'auto') as ProgressMode);
  // Undefined once it is more than a build says that runs no step.
  let said: string | undefined = '';
  const onWrite = (text: string) =>
    (said = said === undefined || said.length > MOST_SAID ? undefined : said + text);
  const display = createDisplay(mode, { onWrite });
  const report = createExplainReport(flags.explainAs, options.outputs ?? []);
  const onProgress = (event: ProgressEvent) => {
    display.show(event);
    report?.hear(event);
  };
  let result: BuildResult;
  try {
    result = await build({ ...options, onProgress });
  } finally {
    display.close();
    if (report) process.stdout.write(report.text());
  }
  const id = imageIdOf(result);
  if (flags.iidfile && id) writeResult(flags.iidfile, id);
  if (flags.metadataFile) writeResult(flags.metadataFile, `${JSON.stringify(metadataOf(result), null, 2)}\n`);
  const stdout = flags.quiet && id ? `${id}\n` : '';
  if (stdout) process.stdout.write(stdout);
  if (said !== undefined && result.stats.executed === 0 && mayRepeat) {
    const root = stateRootPath(options.root, process.env, realUid());
    currentWitness()?.offer(root, { stdout, stderr: said });
  }
  return 0;
}

/** Not what takes its input from elsewhere than files, or gives something there, or says when something happened. */
function isRepeatable(options: BuildOptions, flags: BuildFlags): boolean {
  const { context, file, outputs = [], explain } = options;
  const usesStreams = [context, file].includes('-') || outputs.some(writesStandardOutput);
  const isSent = outputs.some(
    ({ type, dest, push }) => push || type === 'registry' || (type === 'docker' && !dest),
  );
  return !usesStreams && !isSent && !explain && flags.progress !== 'rawjson' && !flags.secret && !flags.ssh;
}

function callOf({ check, checkExtra, call }: BuildFlags): CallMethod | undefined {
  if (call !== undefined) return parseCall(call);
  return check || checkExtra ? { name: 'check', json: false } : undefined;
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
    buildArgs: {
      ...readBuildArgFiles(flags.buildArgFile ?? []),
      ...pairsOf('--build-arg', flags.buildArg, true),
    },
    buildContexts: pairsOf('--build-context', flags.buildContext, false),
    labels: pairsOf('--label', flags.label, false),
    annotations: pairsOf('--annotation', flags.annotation, false),
    addHosts: flags.addHost ?? [],
    outputs: outputsOf(flags),
    cacheFrom: (flags.cacheFrom ?? []).map((text) => parseCacheOption(text, 'from')),
    cacheTo: (flags.cacheTo ?? []).map((text) => parseCacheOption(text, 'to')),
    secrets: Object.fromEntries((flags.secret ?? []).map(parseSecret)),
    ...(flags.secretScan === undefined ? {} : { secretScan: flags.secretScan }),
    ssh: Object.fromEntries((flags.ssh ?? []).map(parseSsh)),
    allow: (flags.allow ?? []).flatMap((right) => right.split(',')),
    ulimits: flags.ulimit ?? [],
    resources: parseResources(flags.resource ?? []),
    ...(flags.shmSize === undefined ? {} : { shmSizeBytes: parseBytes('--shm-size', flags.shmSize) }),
    ...(flags.checkExtra ? { checksExtra: true } : {}),
    ...(flags.verifyReproducible ? { verifyReproducible: true } : {}),
    ...(flags.keepStorage === undefined
      ? {}
      : { keepStorageBytes: parseBytes('--keep-storage', flags.keepStorage) }),
    noCache: !flags.cache,
    noCacheFilter: (filter ?? []).flatMap((stages) => stages.split(',')),
    ...(flags.file === undefined ? {} : { file: flags.file }),
    ...(flags.target === undefined ? {} : { target: flags.target }),
    ...(flags.platform === undefined ? {} : { platforms: flags.platform.split(',') }),
    ...(flags.contextMode === undefined ? {} : { contextMode: flags.contextMode }),
    ...(flags.pull ? { pull: true } : {}),
    ...(flags.explain || flags.explainAs !== undefined ? { explain: true } : {}),
    ...(network === undefined ? {} : { network }),
    ...(flags.jobs === undefined ? {} : { jobs: jobsOf(flags.jobs) }),
    ...timeoutsOf(flags),
    ...(flags.keepGoing ? { keepGoing: true } : {}),
    onFailExports: (flags.onFailExport ?? []).map(parseOnFailExport),
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

/** `NAME=VALUE` lines; empty lines and those that start with `#` say nothing; a name alone takes the environment's value. */
function readBuildArgFiles(files: readonly string[]): Record<string, string> {
  const lines = files.flatMap((file) => {
    try {
      return readFileSync(file, 'utf8').split(/\r?\n/);
    } catch (error) {
      throw new BuildError(
        'USAGE',
        `--build-arg-file "${file}" cannot be read: ${(error as Error).message}`,
        {
          cause: error,
        },
      );
    }
  });
  const pairs = lines.filter((line) => line.trim() !== '' && !line.trimStart().startsWith('#'));
  return pairsOf('--build-arg-file', pairs, true);
}

function outputsOf(flags: BuildFlags): readonly OutputSpec[] {
  const outputs = pushedOutputs((flags.output ?? []).map(parseOutput), flags.push ?? false);
  const isLoaded = outputs.some(({ type, dest }) => type === 'docker' && dest === undefined);
  return flags.load && !isLoaded ? [...outputs, { type: 'docker' }] : outputs;
}

function pushedOutputs(outputs: readonly OutputSpec[], isPushed: boolean): readonly OutputSpec[] {
  if (!isPushed) return outputs;
  if (outputs.length === 0) return [{ type: 'image', push: true }];
  return outputs.map((output) => (output.type === 'image' ? { ...output, push: true } : output));
}

/** @throws USAGE */
export function jobsOf(text: string): number {
  if (/^[1-9]\d{0,3}$/.test(text)) return Number(text);
  throw new BuildError('USAGE', `--jobs "${text}" is not a number of 1 or more`);
}

function parseOnFailExport(text: string): { path: string; destination: string } {
  const equals = text.indexOf('=');
  const [path, destination] = [text.slice(0, equals), text.slice(equals + 1)];
  if (equals < 1 || destination === '')
    throw new BuildError('USAGE', `--on-fail-export "${text}" is not PATH=DEST`, {
      hint: 'write a path of the step and one of this machine, such as /app/report=./report',
    });
  return { path: path.startsWith('/') ? path : `/${path}`, destination: resolve(destination) };
}

function timeoutsOf({ timeout, stepTimeout, idleTimeout }: BuildFlags): Partial<BuildOptions> {
  return {
    ...(timeout === undefined ? {} : { timeoutMs: parseDuration('--timeout', timeout) }),
    ...(stepTimeout === undefined ? {} : { stepTimeoutMs: parseDuration('--step-timeout', stepTimeout) }),
    ...(idleTimeout === undefined ? {} : { idleTimeoutMs: parseDuration('--idle-timeout', idleTimeout) }),
  };
}

/** As buildx: the config's digest, for several platforms the index's. */
export function imageIdOf(result: BuildResult): string | undefined {
  return result.platforms.length === 1 ? result.platforms[0]!.imageId : result.descriptor?.digest;
}

/** What --metadata-file says of a build. */
export function metadataOf(result: BuildResult): Record<string, unknown> {
  const id = result.platforms.length === 1 ? result.platforms[0]!.imageId : undefined;
  return {
    ...(id ? { 'containerimage.config.digest': id } : {}),
    ...(result.descriptor
      ? { 'containerimage.descriptor': result.descriptor, 'containerimage.digest': result.descriptor.digest }
      : {}),
    ...(result.names.length > 0 ? { 'image.name': result.names.join(',') } : {}),
  };
}

/** @throws EXPORT_FAILED */
export function writeResult(file: string, text: string): void {
  try {
    writeFileSync(file, text);
  } catch (error) {
    throw exportFailed(file, error);
  }
}
