import type { VertexOptions } from '../../graph/definition.js';
import { formatPlatform, type Platform } from '../../oci/platform.js';
import type { Command, RunCommand } from '../command.js';
import { expandWord } from '../expansion.js';
import { parseHeredocWord } from '../heredoc.js';
import { isSecretVariable } from '../lint/instruction-rules.js';
import { isProxyArg } from '../platform-args.js';
import type { Stage } from '../stages.js';
import type { StageState } from './stage-state.js';

const LONGEST_NAME = 400;
/** A longer line is shown as it is written. */
const LONGEST_SHOWN = 64 * 1024;

interface StepSettings {
  readonly escape: '\\' | '`';
  readonly buildArgs: Readonly<Record<string, string>>;
  readonly platforms: readonly Platform[];
  readonly noCache: boolean;
  readonly noCacheFilter: readonly string[];
  readonly extraHosts: readonly string[];
}

/** What the vertices of instructions carry beside their ops: names as BuildKit shows them, places, cache switches. */
export class StepOptions {
  readonly #settings: StepSettings;
  readonly #proxyEnv: readonly string[];

  constructor(settings: StepSettings) {
    this.#settings = settings;
    this.#proxyEnv = Object.entries(settings.buildArgs).flatMap(([name, value]) =>
      isProxyArg(name) ? [`${name.toUpperCase()}=${value}`, `${name.toLowerCase()}=${value}`] : [],
    );
  }

  /** Options of the stage's next step; counts it. */
  next(stage: Stage, state: StageState, command: Command, total: number): VertexOptions {
    state.shownIndex += 1;
    const { escape, extraHosts, platforms } = this.#settings;
    const text = shownText(command, state, escape).replace(/\s*\n\s*/g, ' ');
    const shown = text.length > LONGEST_NAME ? `${text.slice(0, LONGEST_NAME)}…` : text;
    return {
      name: `${stepPrefix(state, state.shownIndex, total, platforms.length > 1)}${command.isTrigger ? 'ONBUILD ' : ''}${shown}`,
      location: command.location,
      stage: String(stage.index),
      position: `${positionOf(stage)}#${state.instruction}`,
      ...this.#ignoreCache(stage),
      ...argNames(state),
      ...(this.#proxyEnv.length > 0 ? { proxyEnv: this.#proxyEnv } : {}),
      ...(extraHosts.length > 0 ? { extraHosts } : {}),
    };
  }

  #ignoreCache(stage: Stage): Pick<VertexOptions, 'ignoreCache' | 'ignoreCacheFlag'> {
    if (this.#settings.noCache) return { ignoreCache: true, ignoreCacheFlag: '--no-cache' };
    const names = this.#settings.noCacheFilter.map((name) => name.toLowerCase());
    const name = [stage.from.stageName ?? '', String(stage.index)].find((own) => names.includes(own));
    return name ? { ignoreCache: true, ignoreCacheFlag: `--no-cache-filter ${name}` } : {};
  }
}

/** The stage's part of a position. */
export function positionOf(stage: Stage): string {
  return stage.from.stageName ?? String(stage.index);
}

function argNames(state: StageState): Pick<VertexOptions, 'argNames'> {
  const variables = new Set(state.config.Env?.map((entry) => entry.slice(0, entry.indexOf('='))));
  const names = state.buildArgs.map(({ name }) => name).filter((name) => !variables.has(name));
  return names.length > 0 ? { argNames: [...new Set(names)] } : {};
}

/** `[builder 2/5] `; with the platform where the build has several. */
export function stepPrefix(
  state: StageState,
  index: number,
  total: number,
  severalPlatforms: boolean,
): string {
  const platform = severalPlatforms ? `${formatPlatform(state.platform)} ` : '';
  const label = state.label === '' ? '' : `${state.label} `;
  return `[${platform}${label}${String(index).padStart(String(total).length)}/${total}] `;
}

/** The line with its variables expanded. RUN keeps quotes and what it sets itself; of a heredoc it shows the first line. */
function shownText(command: Command, state: StageState, escape: '\\' | '`'): string {
  const env = (name: string) => shownValue(name, state.env.get(name));
  const isRun = command.kind === 'run';
  const text = `${command.original}${isRun ? heredocSummary(command) : ''}`;
  return upperKeyword(
    expandedOr(
      text,
      () =>
        expandWord(text, { env, escape, rawQuotes: isRun, skipUnset: isRun, mostBytes: LONGEST_SHOWN }).value,
    ),
  );
}

/** Names are printed, kept in logs and histories: secrets stay out of them. */
function shownValue(name: string, value: string | undefined): string | undefined {
  return value && isSecretVariable(name, value) ? '*****' : value;
}

function expandedOr(text: string, expand: () => string): string {
  try {
    return expand();
  } catch {
    return text;
  }
}

function upperKeyword(text: string): string {
  return text.replace(/^\S+/, (keyword) => keyword.toUpperCase());
}

function heredocSummary({ args, heredocs }: RunCommand): string {
  const [only, more] = heredocs;
  if (!only || more || !parseHeredocWord(args[0]!.trim())) return '';
  const [first = '', ...rest] = only.content.trim().split(/\r?\n/);
  return ` (${first}${rest.length > 0 ? '...' : ''})`;
}
