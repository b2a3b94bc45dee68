import { statSync } from 'node:fs';
import { BuildError } from '../errors.js';
import type { Mutable } from '../mutable.js';
import type { IoLimit, ResourceLimits } from '../worker/cgroup/limits.js';
import { parseBytes } from './size-option.js';

/** Limits of each step, and of all steps of the build together. */
export interface BuildResources {
  readonly step: ResourceLimits;
  readonly build: ResourceLimits;
}

/**
 * `--resource memory=1g,cpus=2`: limits of each step; with `scope=build` among them, of the build. Flags add up.
 * @throws USAGE
 */
export function parseResources(specs: readonly string[]): BuildResources {
  const resources = { step: {}, build: {} };
  for (const spec of specs) {
    const pairs = fieldsOf(spec);
    const scope = pairs.find(([name]) => name === 'scope')?.[1] ?? 'step';
    if (scope !== 'step' && scope !== 'build') {
      throw new BuildError('USAGE', `--resource scope "${scope}" is not known`, {
        hint: 'use step or build',
      });
    }
    for (const [name, value] of pairs) if (name !== 'scope') addLimit(resources[scope], name, value);
  }
  return resources;
}

/** A comma inside a list of CPUs, `cpuset-cpus=0,2`, starts no field. */
function fieldsOf(spec: string): [string, string][] {
  const fields: [string, string][] = [];
  for (const part of spec.split(',')) {
    const equals = part.indexOf('=');
    const last = fields.at(-1);
    if (equals < 0 && last?.[0].startsWith('cpuset-')) last[1] += `,${part}`;
    else if (equals < 0) throw invalid(part, 'write it as memory=1g');
    else fields.push([part.slice(0, equals), part.slice(equals + 1)]);
  }
  return fields;
}

function addLimit(limits: Mutable<ResourceLimits>, name: string, value: string): void {
  const text = `${name}=${value}`;
  switch (name) {
    case 'memory':
      limits.memoryBytes = parseBytes('--resource memory', value);
      break;
    case 'memory-swap':
      limits.memorySwapBytes = value === '-1' ? -1 : parseBytes('--resource memory-swap', value);
      break;
    case 'cpus':
      limits.cpus = numberOf(text, value, /^\d+(\.\d+)?$/);
      break;
    case 'cpu-shares':
      limits.cpuShares = numberOf(text, value);
      break;
    case 'cpu-quota':
      limits.cpuQuotaUs = numberOf(text, value, /^-?\d+$/);
      break;
    case 'cpu-period':
      limits.cpuPeriodUs = numberOf(text, value);
      break;
    case 'cpuset-cpus':
      limits.cpusetCpus = setOf(text, value);
      break;
    case 'cpuset-mems':
      limits.cpusetMems = setOf(text, value);
      break;
    case 'pids':
      limits.pids = numberOf(text, value, /^-?\d+$/);
      break;
    case 'io':
      limits.io = [...(limits.io ?? []), parseIo(value)];
      break;
    default:
      throw invalid(
        text,
        'known are memory, memory-swap, cpus, cpu-shares, cpu-quota, cpu-period, cpuset-cpus, cpuset-mems, pids, io',
      );
  }
}

/** `/dev/sda:rbps=10m:wiops=100` */
function parseIo(value: string): IoLimit {
  const [path = '', ...pairs] = value.split(':');
  const limit: Mutable<IoLimit> = { device: deviceOf(path) };
  if (pairs.length === 0) throw invalid(`io=${value}`, 'write it as io=/dev/sda:rbps=10m:wiops=100');
  for (const pair of pairs) {
    const [name, rate = ''] = pair.split('=');
    if (name === 'rbps' || name === 'wbps') limit[name] = parseBytes(`--resource io ${name}`, rate);
    else if (name === 'riops' || name === 'wiops') limit[name] = numberOf(pair, rate);
    else throw invalid(`io=${value}`, 'rates are rbps, wbps, riops and wiops');
  }
  return limit;
}

function deviceOf(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat?.isBlockDevice()) throw invalid(`io=${path}`, 'name a block device, such as /dev/sda');
  const [major, minor] = [(stat.rdev >> 8) & 0xfff, (stat.rdev & 0xff) | ((stat.rdev >> 12) & 0xfff00)];
  return `${major}:${minor}`;
}

function numberOf(text: string, value: string, form = /^\d+$/): number {
  if (form.test(value)) return Number(value);
  throw invalid(text, 'the value is no number that it could be');
}

function setOf(text: string, value: string): string {
  if (/^\d+(-\d+)?(,\d+(-\d+)?)*$/.test(value)) return value;
  throw invalid(text, 'write it as 0-2,4');
}

function invalid(text: string, hint: string): BuildError {
  return new BuildError('USAGE', `--resource "${text}" is not a limit`, { hint });
}
