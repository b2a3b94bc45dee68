import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Context } from 'mocha';
import { type CommandResult, runCommand } from '../../kit/cli.js';
import { type Engine, startEngine } from '../../kit/engine.js';
import { findProgram } from '../../kit/needs.js';
import { tmpDir } from '../../kit/tmp-dir.js';
import { listTree } from './tree.js';

/** A running BuildKit behind the docker command. */
export interface Builder {
  docker(...args: string[]): Promise<CommandResult>;
  stop(): Promise<void>;
}

/** BuildKit's rules for patterns and variables are those of the tables since Docker 28. */
const FIRST_VERSION = 28;

/**
 * Skips a test where no builder can run that knows the rules of today: Debian 12, on which CI runs, has Docker 20.10, whose
 * rules are others. The tables, which a new one filled, are compared everywhere.
 */
export function needsNewBuilder(context: Context): void {
  const program = findProgram('dockerd');
  const isGiven = process.env['DOCKER_HOST'] !== undefined;
  if (!isGiven && (program === undefined || process.getuid?.() !== 0)) context.skip();
  const [command, ...args] = isGiven
    ? [findProgram('docker')!, 'version', '--format', '{{.Server.Version}}']
    : [program!, '--version'];
  const text = execFileSync(command!, args, { encoding: 'utf8' });
  if (Number(/(\d+)\.\d+\.\d+/.exec(text)?.[1] ?? 0) < FIRST_VERSION) context.skip();
}

/** The engine that DOCKER_HOST names, or one of our own. */
export async function openBuilder(): Promise<Builder> {
  if (!process.env['DOCKER_HOST']) {
    const engine: Engine = await startEngine();
    return engine;
  }
  const client = findProgram('docker')!;
  const env = { DOCKER_BUILDKIT: '1', BUILDKIT_PROGRESS: 'plain' };
  return {
    docker: (...args) => runCommand(client, args, { env }),
    stop: () => Promise.resolve(),
  };
}

const CONCURRENCY = 6;

/** Runs `work` on all items, some at a time, each worker with a directory of its own; results in order. */
export async function inParallel<T, R>(
  items: readonly T[],
  work: (item: T, home: string) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const worker = async () => {
    const home = tmpDir();
    while (next < items.length) {
      const at = next++;
      results[at] = await work(items[at]!, home);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
  return results;
}

/** What a build says when the builder itself was in the way. */
const NOT_THE_BUILD =
  /Cannot connect|connection refused|no space left|context canceled|no active session|EOF$/m;

/** What a build said that failed for what is in the Dockerfile or the context. */
export class BuildFailure {
  constructor(readonly message: string) {}
}

/** Runs a build; gives what it prints, the name of the image. */
export async function build(
  builder: Builder,
  home: string,
  dockerfile: string,
  args: readonly string[],
): Promise<string | BuildFailure> {
  const file = join(home, 'Dockerfile');
  writeFileSync(file, dockerfile);
  for (let tries = 1; ; tries++) {
    const result = await builder.docker('build', '-q', '--network', 'host', '-f', file, ...args);
    if (result.status === 0) return result.stdout.trim();
    if (!NOT_THE_BUILD.test(result.stderr)) return new BuildFailure(result.stderr);
    if (tries === 3) throw new Error(result.stderr);
  }
}

export interface Contexts {
  readonly main: string;
  /** By their names in the Dockerfile. */
  readonly named?: ReadonlyMap<string, string>;
}

/**
 * Builds and lists the files of the result. Without --no-cache, BuildKit may answer a COPY with the result of another whose
 * wildcard found the same contents.
 */
export async function buildFiles(
  builder: Builder,
  home: string,
  dockerfile: string,
  { main, named = new Map() }: Contexts,
): Promise<string[] | BuildFailure> {
  const root = join(home, 'out');
  rmSync(root, { recursive: true, force: true });
  mkdirSync(root);
  const contexts = [...named].flatMap(([name, dir]) => ['--build-context', `${name}=${dir}`]);
  const args = ['--no-cache', ...contexts, '-o', `type=local,dest=${root}`, main];
  const built = await build(builder, home, dockerfile, args);
  return built instanceof BuildFailure ? built : listTree(root);
}

/**
 * Builds cases together, and where that fails, in halves, until each case that fails stands alone; its result is the class
 * of what the builder said.
 */
export async function settle(
  cases: readonly string[],
  attempt: (cases: readonly string[]) => Promise<string[] | BuildFailure>,
  found: Map<string, string>,
  classOf: (message: string) => string = () => 'error',
): Promise<void> {
  const results = await attempt(cases);
  if (!(results instanceof BuildFailure)) {
    for (const [i, text] of cases.entries()) found.set(text, results[i]!);
  } else if (cases.length === 1) {
    found.set(cases[0]!, classOf(results.message));
  } else {
    const half = cases.length >> 1;
    await settle(cases.slice(0, half), attempt, found, classOf);
    await settle(cases.slice(half), attempt, found, classOf);
  }
}

export function batchesOf<T>(items: readonly T[], size: number): T[][] {
  const count = Math.ceil(items.length / size);
  return Array.from({ length: count }, (_, i) => items.slice(i * size, (i + 1) * size));
}
