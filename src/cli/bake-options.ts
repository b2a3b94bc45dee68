import { isAbsolute, join } from 'node:path';
import type { Entry } from '../bake/entries.js';
import { isRemote } from '../bake/paths.js';
import type { Target } from '../bake/target.js';
import type { TargetBuild } from '../bake.js';
import { BuildError } from '../errors.js';
import type { BuildOptions } from '../options.js';
import { parseCacheOption } from './cache-option.js';
import { parseOutput } from './output-option.js';
import { parseSecret, parseSsh } from './secret-option.js';
import { parseBytes } from './size-option.js';

const LINK = 'target:';

/**
 * What building a target of a bake file means. A key that a build cannot follow is an error.
 * @throws USAGE, UNSUPPORTED, NOT_PERMITTED where the target asks for a right that `--allow` does not give
 */
export function targetBuild(target: Target, allowed: readonly string[]): TargetBuild {
  try {
    const contexts = Object.entries(target.contexts ?? {});
    const links = contexts.filter(([, value]) => value.startsWith(LINK));
    const others = contexts.filter(([, value]) => !value.startsWith(LINK));
    return {
      name: target.name,
      links: Object.fromEntries(links.map(([name, value]) => [name, value.slice(LINK.length)])),
      options: {
        ...inputOptions(target),
        ...resultOptions(target),
        ...stepOptions(target, allowed),
        buildContexts: Object.fromEntries(others.map(([name, value]) => [name, withoutScheme(value)])),
      },
    };
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    throw error.with({ message: `target "${target.name}": ${error.message}` });
  }
}

/** `cwd://` is the working directory, where bake files are read from as well. */
function withoutScheme(path: string): string {
  return path.replace(/^cwd:\/\//, '') || '.';
}

function inputOptions(target: Target): Pick<BuildOptions, 'context' | 'file' | 'dockerfileText'> {
  const context = target.context ?? '.';
  const dockerfile = target.dockerfile ?? 'Dockerfile';
  if (context === '-' || dockerfile === '-')
    throw new BuildError('UNSUPPORTED', 'a target of a bake file reads nothing from standard input', {
      hint: 'name a directory, a repository or a URL',
    });
  const inline = target['dockerfile-inline'];
  if (inline !== undefined) return { context, dockerfileText: inline };
  if (dockerfile.startsWith('cwd://')) return { context, file: withoutScheme(dockerfile) };
  return {
    context,
    file: isRemote(context) || isAbsolute(dockerfile) ? dockerfile : join(context, dockerfile),
  };
}

function resultOptions(target: Target): Partial<BuildOptions> {
  const enabled = (target.attest ?? []).find(({ disabled }) => disabled !== true);
  if (enabled)
    throw new BuildError(
      'UNSUPPORTED',
      `attestations (type=${String(enabled['type'])}) are not supported in this version`,
      {
        hint: 'take "attest" out, or write type=…,disabled=true',
      },
    );
  if (target.call !== undefined && target.call !== 'build')
    throw new BuildError('UNSUPPORTED', `call = "${target.call}" is not supported in bake`, {
      hint: `build it alone: tsbuild build --call=${target.call}`,
    });
  return {
    tags: target.tags ?? [],
    labels: target.labels ?? {},
    annotations: annotationsOf(target.annotations ?? []),
    outputs: (target.output ?? []).map((entry) => parseOutput(csvOf(entry))),
    cacheFrom: (target['cache-from'] ?? []).map((entry) => parseCacheOption(csvOf(entry), 'from')),
    cacheTo: (target['cache-to'] ?? []).map((entry) => parseCacheOption(csvOf(entry), 'to')),
  };
}

function csvOf(entry: Entry): string {
  return Object.entries(entry)
    .map(([key, value]) => `${key}=${String(value)}`)
    .map((field) => (/[",]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field))
    .join(',');
}

/** Of the manifest: `KEY=VALUE` or `manifest:KEY=VALUE`. */
function annotationsOf(texts: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    texts.map((text) => {
      const [, place, key, value] =
        /^(?:([a-z-]+(?:\[[^\]]*\])?(?:,[^:=]*)?):)?([^=]+)=([^]*)$/.exec(text) ?? [];
      if (key === undefined) throw new BuildError('USAGE', `the annotation "${text}" is not KEY=VALUE`);
      if (place === undefined || place === 'manifest') return [key, value!];
      throw new BuildError('UNSUPPORTED', `the annotation "${text}" is for another place than the manifest`, {
        hint: 'write KEY=VALUE or manifest:KEY=VALUE',
      });
    }),
  );
}

function stepOptions(target: Target, allowed: readonly string[]): Partial<BuildOptions> {
  const network = target.network || 'default';
  if (network !== 'default' && network !== 'none' && network !== 'host')
    throw new BuildError('USAGE', `network = "${network}" is not known`, {
      hint: 'use default, none or host',
    });
  const missing = (target.entitlements ?? []).find((right) => !allowed.includes(right));
  if (missing !== undefined)
    throw new BuildError('NOT_PERMITTED', `it asks for the right "${missing}", which was not given`, {
      hint: `run bake with --allow ${missing}`,
    });
  const shmSize = target['shm-size'];
  return {
    buildArgs: target.args ?? {},
    ...(target.target ? { target: target.target } : {}),
    ...(target.platforms?.length ? { platforms: target.platforms } : {}),
    pull: target.pull ?? false,
    noCache: target['no-cache'] ?? false,
    noCacheFilter: target['no-cache-filter'] ?? [],
    network,
    ulimits: target.ulimits ?? [],
    allow: target.entitlements ?? [],
    addHosts: Object.entries(target['extra-hosts'] ?? {}).flatMap(([host, addresses]) =>
      addresses.split(',').map((address) => `${host}:${address}`),
    ),
    secrets: Object.fromEntries((target.secret ?? []).map((entry) => parseSecret(csvOf(entry)))),
    ssh: Object.fromEntries((target.ssh ?? []).map(sshOf)),
    ...(shmSize ? { shmSizeBytes: parseBytes('shm-size', shmSize) } : {}),
  };
}

function sshOf({ id, paths }: Entry): [string, { readonly paths: readonly string[] }] {
  const list = Array.isArray(paths) ? (paths as readonly string[]) : [];
  return parseSsh(list.length > 0 ? `${String(id)}=${list.join(',')}` : String(id));
}
