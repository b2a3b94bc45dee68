import { formatTargets, formatVariables } from '../../bake/list.js';
import { type BakeInputs, readBake } from '../../bake/read-bake.js';
import { DEFAULT_TARGET, resolvePlan } from '../../bake/resolve.js';
import { type BakePlan, formatPlan } from '../../bake/target.js';
import { buildTargets } from '../../bake.js';
import { BuildError } from '../../errors.js';
import { formatPlatform, hostPlatform } from '../../oci/platform.js';
import type { BuildResult } from '../../options.js';
import { targetBuild } from '../bake-options.js';
import { type CommandContext, type GlobalOptions, storeOptions } from '../command-context.js';
import { splitCsv } from '../output-option.js';
import { createDisplay, type ProgressMode } from '../progress/display.js';
import { imageIdOf, jobsOf, metadataOf, writeResult } from './build.js';

export interface BakeFlags extends GlobalOptions {
  readonly file?: readonly string[];
  readonly set?: readonly string[];
  readonly var?: readonly string[];
  readonly print?: boolean;
  readonly list?: string;
  /** False with --no-cache. */
  readonly cache: boolean;
  readonly pull?: boolean;
  readonly push?: boolean;
  readonly load?: boolean;
  readonly provenance?: string;
  readonly sbom?: string;
  readonly allow?: readonly string[];
  readonly jobs?: string;
  readonly metadataFile?: string;
  readonly quiet?: boolean;
}

/** `tsbuild bake`. Gives the exit status. */
export async function runBake(
  names: readonly string[],
  flags: BakeFlags,
  context: CommandContext,
): Promise<number> {
  const list = flags.list === undefined ? undefined : parseList(flags.list);
  if (list && flags.print)
    throw new BuildError('USAGE', '--print and --list exclude each other', { hint: 'leave one of them out' });
  const definitions = await readBake(await inputsOf(flags));
  if (list) {
    const format = list.what === 'targets' ? formatTargets : formatVariables;
    process.stdout.write(format(definitions, list.isJson));
    return 0;
  }
  const asked = names.length > 0 ? names : [DEFAULT_TARGET];
  const plan = resolvePlan(definitions, asked, overridesOf(flags), process.env);
  if (flags.print) {
    process.stdout.write(formatPlan(plan));
    return 0;
  }
  await buildPlan(plan, flags, context);
  return 0;
}

async function buildPlan(plan: BakePlan, flags: BakeFlags, context: CommandContext): Promise<void> {
  const allowed = (flags.allow ?? []).flatMap((rights) => rights.split(','));
  const jobs = flags.jobs === undefined ? {} : { jobs: jobsOf(flags.jobs) };
  const builds = [...plan.targets.values()].map((target) => {
    const one = targetBuild(target, allowed);
    return { ...one, options: { ...one.options, ...jobs } };
  });
  const toStdout = builds.flatMap(({ name, options: { outputs = [] } }) =>
    outputs.some(({ type, dest }) => dest === '-' || (type === 'tar' && dest === undefined)) ? [name] : [],
  );
  if (toStdout.length > 1)
    throw new BuildError('USAGE', `targets ${toStdout.join(' and ')} both write to standard output`, {
      hint: 'give all but one a dest',
    });
  const mode = flags.quiet ? 'quiet' : ((flags.progress ?? 'auto') as ProgressMode);
  const display = createDisplay(mode);
  let results: ReadonlyMap<string, BuildResult>;
  try {
    const onProgress = display.show.bind(display);
    results = await buildTargets(builds, { ...storeOptions(flags, context), onProgress });
  } finally {
    display.close();
  }
  if (flags.metadataFile !== undefined) {
    const metadata = Object.fromEntries([...results].map(([name, result]) => [name, metadataOf(result)]));
    writeResult(flags.metadataFile, `${JSON.stringify(metadata, null, 2)}\n`);
  }
  if (flags.quiet)
    for (const name of plan.asked) {
      const id = imageIdOf(results.get(name)!);
      if (id) process.stdout.write(`${id}\n`);
    }
}

/** `--list`: what, and whether as JSON. */
export function parseList(text: string): { what: 'targets' | 'variables'; isJson: boolean } {
  let [what, format] = ['', 'table'];
  for (const field of splitCsv(text)) {
    const equals = field.indexOf('=');
    const [key, value] = equals < 0 ? ['type', field] : [field.slice(0, equals), field.slice(equals + 1)];
    if (key === 'type') what = value;
    else if (key === 'format') format = value;
    else what = '';
  }
  if ((what !== 'targets' && what !== 'variables') || (format !== 'table' && format !== 'json'))
    throw new BuildError('USAGE', `--list "${text}" is not known`, {
      hint: 'write --list=targets or --list=variables, for machines --list=targets,format=json',
    });
  return { what, isJson: format === 'json' };
}

async function inputsOf(flags: BakeFlags): Promise<BakeInputs> {
  const files = flags.file ?? [];
  const variables = (flags.var ?? []).map((text): [string, string] => {
    const equals = text.indexOf('=');
    if (equals < 1) throw new BuildError('USAGE', `--var "${text}" is not NAME=VALUE`);
    return [text.slice(0, equals), text.slice(equals + 1)];
  });
  return {
    files,
    directory: process.cwd(),
    ...(files.includes('-') ? { stdin: await readInput() } : {}),
    variables: new Map(variables),
    env: process.env,
    localPlatform: formatPlatform(hostPlatform()),
  };
}

async function readInput(): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

/** `--set` and the flags that are short for it, in buildx’s order: what comes later wins. */
export function overridesOf({ set = [], push, load, cache, pull, provenance, sbom }: BakeFlags): string[] {
  return [
    ...set,
    ...(push ? ['*.push=true'] : []),
    ...(load ? ['*.load=true'] : []),
    ...(cache ? [] : ['*.no-cache=true']),
    ...(pull ? ['*.pull=true'] : []),
    ...(sbom ? [`*.attest=${attestText('sbom', sbom)}`] : []),
    ...(provenance ? [`*.attest=${attestText('provenance', provenance)}`] : []),
  ];
}

function attestText(type: string, value: string): string {
  if (/^(1|t|true)$/i.test(value)) return `type=${type}`;
  return /^(0|f|false)$/i.test(value) ? `type=${type},disabled=true` : `type=${type},${value}`;
}
