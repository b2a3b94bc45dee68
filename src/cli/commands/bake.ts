import { formatTargets, formatVariables } from '../../bake/list.js';
import { type BakeInputs, readBake } from '../../bake/read-bake.js';
import { DEFAULT_TARGET, resolvePlan } from '../../bake/resolve.js';
import { formatPlan } from '../../bake/target.js';
import { BuildError } from '../../errors.js';
import { formatPlatform, hostPlatform } from '../../oci/platform.js';
import type { CommandContext, GlobalOptions } from '../command-context.js';
import { splitCsv } from '../output-option.js';

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
}

/** `tsbuild bake`. Gives the exit status. */
export async function runBake(
  names: readonly string[],
  flags: BakeFlags,
  _context: CommandContext,
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
  throw new BuildError('UNSUPPORTED', 'bake only prints in this version', {
    hint: 'add --print or --list=targets',
  });
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
