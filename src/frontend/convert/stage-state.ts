import { posix } from 'node:path';
import type { SourceLocation } from '../../errors.js';
import { createVertex, type Edge, type Vertex } from '../../graph/definition.js';
import type { Op } from '../../graph/op.js';
import type { Mutable } from '../../mutable.js';
import type { ContainerConfig, HistoryEntry, ImageConfig } from '../../oci/image-config.js';
import type { Platform } from '../../oci/platform.js';
import type { Digest } from '../../oci/digest.js';
import { type Expansion, expandWord } from '../expansion.js';
import { suggestion } from '../lint/file-rules.js';
import type { Linter } from '../lint/linter.js';
import type { OutlineRecorder } from '../outline.js';
import { historyEntry } from '../history.js';
import type { TextBudget } from './text-budget.js';

export type MutableConfig = Mutable<ContainerConfig>;

/** Name of the vertex that holds heredocs as files. */
export const INLINE_DOCUMENT = '[internal] preparing inline document';

/** PATH of an image whose config has none. */
const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** What one stage is while its instructions are read one after the other. */
export class StageState {
  /** The file system so far; undefined is scratch. */
  head: Edge | undefined;
  config: MutableConfig = {};
  author: string | undefined;
  image: Pick<ImageConfig, 'os.version' | 'os.features'> = {};
  /** Platform of the image where it is not the one that the stage is for: scratch has none of its own. */
  imagePlatform: Platform | undefined;
  history: HistoryEntry[] = [];
  baseHistoryLength = 0;
  /** ENV and ARG in one map, in the order in which they were last set. */
  env = new Map<string, string>();
  /** ARGs in the order of their declaration. */
  readonly buildArgs: { name: string; value: string | undefined }[] = [];
  /** CMD was set in this stage, so ENTRYPOINT leaves it. */
  hasOwnCommand = false;
  /** WORKDIR was set by this Dockerfile. */
  hasOwnWorkingDirectory = false;
  /** The base's config could not be read, so what it sets is not known; only where nothing is built. */
  hasUnknownBase = false;
  /** Where this stage had its last CMD, ENTRYPOINT, HEALTHCHECK. */
  readonly lastOf = new Map<string, SourceLocation>();
  /** Number of the instruction for positions, and of the shown step. */
  instruction = 0;
  shownIndex = 0;
  readonly label: string;
  readonly platform: Platform;
  #ownEnv: EnvEntries | undefined;
  readonly #ownTables = new Map<string, Record<string, unknown>>();

  constructor(label: string, platform: Platform) {
    this.label = label;
    this.platform = platform;
  }

  /** Takes over what a base image's config says. */
  adoptImage(config: ImageConfig): void {
    this.config = knownFields(config.config ?? {});
    this.author = config.author;
    this.history = [...(config.history ?? [])];
    this.baseHistoryLength = this.history.length;
    for (const entry of this.config.Env ?? []) this.#setFromEntry(entry);
    this.image = {
      ...(config['os.version'] === undefined ? {} : { 'os.version': config['os.version'] }),
      ...(config['os.features'] === undefined ? {} : { 'os.features': config['os.features'] }),
    };
    this.ensurePath();
  }

  /** Continues an earlier stage: its files, config, variables. */
  adoptStage(parent: StageState): void {
    this.head = parent.head;
    this.config = { ...parent.config };
    this.author = parent.author;
    this.image = parent.image;
    this.imagePlatform = parent.imagePlatform;
    this.history = [...parent.history];
    this.baseHistoryLength = parent.baseHistoryLength;
    this.env = new Map(parent.env);
    this.hasOwnWorkingDirectory = parent.hasOwnWorkingDirectory;
    this.hasUnknownBase = parent.hasUnknownBase;
    this.buildArgs.push(...parent.buildArgs);
  }

  ensurePath(): void {
    if (this.env.has('PATH') || this.platform.os === 'windows') return;
    this.setEnv('PATH', DEFAULT_PATH);
  }

  /** Sets a variable of the image: kept in place where it exists. */
  setEnv(name: string, value: string): void {
    const { entries, places } = (this.#ownEnv ??= ownEntries(this.config.Env ?? []));
    const at = places.get(name) ?? entries.length;
    entries[at] = `${name}=${value}`;
    places.set(name, at);
    this.config.Env = entries;
    this.setVariable(name, value);
  }

  /** Sets a variable of the steps alone: one that was there comes last, as BuildKit has it. */
  setVariable(name: string, value: string): void {
    this.env.delete(name);
    this.env.set(name, value);
  }

  /** Adds to a table of the config: one that this stage shares with no other, so that a million lines take a million steps. */
  addTo(field: 'Labels' | 'Volumes' | 'ExposedPorts', pairs: readonly (readonly [string, unknown])[]): void {
    let own = this.#ownTables.get(field);
    if (!own) {
      own = Object.fromEntries(Object.entries(this.config[field] ?? {}));
      this.#ownTables.set(field, own);
      this.config[field] = own as never;
    }
    for (const [key, value] of pairs)
      Object.defineProperty(own, key, { value, enumerable: true, writable: true, configurable: true });
  }

  #setFromEntry(entry: string): void {
    const equals = entry.indexOf('=');
    if (equals > 0) this.setVariable(entry.slice(0, equals), entry.slice(equals + 1));
  }

  get workingDirectory(): string {
    const path = this.config.WorkingDir ?? '';
    return posix.resolve('/', this.platform.os === 'windows' ? path.replaceAll('\\', '/') : path);
  }

  /** Variables as RUN gets them. */
  environment(): string[] {
    return [...this.env].map(([name, value]) => `${name}=${value}`);
  }

  addHistory(createdBy: string, hasLayer: boolean): void {
    this.history.push(historyEntry(createdBy, hasLayer));
  }
}

/** `NAME=value` in order, and where each name stands. */
interface EnvEntries {
  readonly entries: string[];
  readonly places: Map<string, number>;
}

function ownEntries(env: readonly string[]): EnvEntries {
  const places = new Map<string, number>();
  env.forEach((entry, i) => {
    const name = entry.split('=', 1)[0]!;
    if (!places.has(name)) places.set(name, i);
  });
  return { entries: [...env], places };
}

const CONFIG_FIELDS: readonly (keyof ContainerConfig)[] = [
  'User',
  'ExposedPorts',
  'Env',
  'Entrypoint',
  'Cmd',
  'Volumes',
  'WorkingDir',
  'Labels',
  'StopSignal',
  'ArgsEscaped',
  'Healthcheck',
  'OnBuild',
  'Shell',
];

/** Old images carry fields of the container that made them (`Hostname`, `Image`, …), and nulls. */
function knownFields(config: ContainerConfig): MutableConfig {
  const known = CONFIG_FIELDS.flatMap((field) => {
    const value = config[field];
    return value === undefined || value === null ? [] : [[field, value]];
  });
  return Object.fromEntries(known) as MutableConfig;
}

/** Collects vertices, warnings and the numbers that names need. */
export interface ConvertContext {
  readonly vertices: Map<Digest, Vertex>;
  readonly escape: '\\' | '`';
  readonly linter: Linter;
  readonly outline: OutlineRecorder;
  readonly budget: TextBudget;
}

export function addVertex(
  context: ConvertContext,
  op: Op,
  inputs: readonly Edge[],
  options: Parameters<typeof createVertex>[2],
): Edge {
  const vertex = createVertex(op, inputs, options);
  const known = context.vertices.get(vertex.digest);
  if (!known) context.vertices.set(vertex.digest, vertex);
  else if (options.ignoreCache && !known.options.ignoreCache) {
    context.vertices.set(vertex.digest, { ...known, options: { ...known.options, ignoreCache: true } });
  }
  return { vertex: vertex.digest, index: 0 };
}

/** Expands one word with the stage's variables; undefined names are warned about with the nearest known one. */
export function expandIn(
  context: ConvertContext,
  state: StageState,
  text: string,
  location: SourceLocation,
): string {
  return expansionIn(context, state, text, location).value;
}

/** The same, split into words. */
export function expandWordsIn(
  context: ConvertContext,
  state: StageState,
  text: string,
  location: SourceLocation,
): readonly string[] {
  return expansionIn(context, state, text, location).words;
}

/** The body of a heredoc: quotes mean nothing, and the escape character is always `\`. */
export function expandBodyIn(
  context: ConvertContext,
  state: StageState,
  text: string,
  location: SourceLocation,
): string {
  return expansionIn({ ...context, escape: '\\' }, state, text, location, true).value;
}

function expansionIn(
  context: ConvertContext,
  state: StageState,
  text: string,
  location: SourceLocation,
  skipQuotes = false,
): Expansion {
  const env = (name: string) => state.env.get(name);
  const expansion = expandWord(text, { env, escape: context.escape, skipQuotes });
  context.budget.spend(expansion.value.length);
  for (const name of expansion.unmatched) {
    if (state.buildArgs.some((arg) => arg.name === name)) continue;
    if (state.hasUnknownBase || name.startsWith('BUILDKIT_SBOM_SCAN_')) continue;
    const nearest = suggestion(name, state.env.keys(), '$');
    context.linter.report('UndefinedVar', `Usage of undefined variable '$${name}'${nearest}`, location);
  }
  return expansion;
}
