import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Builder, type Command, createBuildah, createTsbuild, startDocker } from '../builders.js';
import { C_APP } from './c-app.js';
import { MONOREPO } from './monorepo.js';
import { NODE_APP } from './node-app.js';
import { type Project, type ProjectImage, WorkingTree } from './project.js';

/**
 * Builds the history of three projects, commit by commit, with tsbuild and its peers in turns, and counts the steps that
 * each of them runs. A peer that runs fewer steps than tsbuild in a commit must show that its image is right: a file that
 * depends on all of the sources is compared.
 *
 *   npm run bench:cache -- [--commits 50] [--only node,c,monorepo] [--peer docker|buildah]
 */
const { values } = parseArgs({
  options: {
    commits: { type: 'string', default: '50' },
    only: { type: 'string' },
    peer: { type: 'string', multiple: true },
  },
});

const PROJECTS: Readonly<Record<string, Project>> = { node: NODE_APP, c: C_APP, monorepo: MONOREPO };

interface Tally {
  steps: number;
  elapsedMs: number;
  /** Builds that ran fewer steps than tsbuild, and those of them whose image lacked the change. */
  fewer: number;
  wrong: number;
  /** Builds that ran more steps than tsbuild. */
  more: number;
}

interface Built {
  readonly steps: readonly string[];
  readonly elapsedMs: number;
}

function run({ args, env }: Command): { output: string; elapsedMs: number } {
  const started = performance.now();
  const result = spawnSync(args[0]!, args.slice(1), {
    env: { ...process.env, ...env },
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  const elapsedMs = performance.now() - started;
  if (result.status !== 0) throw new Error(`${args.join(' ')} ended with ${result.status}: ${result.stderr}`);
  return { output: result.stdout + result.stderr, elapsedMs };
}

/** A Debian with a C compiler and this Node, as a tar. */
function makeBase(dir: string): string {
  const rootfs = join(dir, 'base');
  run({ args: ['debootstrap', '--variant=minbase', '--include=gcc,libc6-dev,make', 'bookworm', rootfs] });
  rmSync(join(rootfs, 'var/cache/apt'), { recursive: true, force: true });
  cpSync(process.execPath, join(rootfs, 'usr/local/bin/node'));
  const npm = run({ args: ['npm', 'root', '--global'] }).output.trim();
  cpSync(join(npm, 'npm'), join(rootfs, 'usr/local/lib/node_modules/npm'), { recursive: true });
  run({ args: ['ln', '-s', '../lib/node_modules/npm/bin/npm-cli.js', join(rootfs, 'usr/local/bin/npm')] });
  const tar = join(dir, 'base.tar');
  run({ args: ['tar', '--numeric-owner', '-cf', tar, '-C', rootfs, '.'] });
  rmSync(rootfs, { recursive: true });
  return tar;
}

function buildAll(builder: Builder, tree: WorkingTree, project: Project, args: ArgValues): Built[] {
  return project.images.map(({ name, dockerfile }) => {
    const { output, elapsedMs } = run(builder.build(tree.root, { tag: name, dockerfile, args }));
    return { steps: builder.stepsRun(output), elapsedMs };
  });
}

type ArgValues = Readonly<Record<string, string>>;

function isRight(builder: Builder, reference: Builder, image: ProjectImage): boolean {
  const read = (from: Builder) => run(from.readFile(image.name, image.proof)).output;
  return read(builder) === read(reference);
}

const list = (steps: readonly string[]) => (steps.length === 0 ? 'nothing' : steps.join(' | '));

/** Steps run and time over all commits, the first build left out, for each builder. */
function measure(project: Project, builders: readonly Builder[], dir: string): Map<string, Tally> {
  const tree = new WorkingTree(join(dir, 'project'));
  mkdirSync(tree.root);
  project.create(tree);
  let args: ArgValues = {};
  for (const builder of builders) buildAll(builder, tree, project, args);
  const tallies = new Map(
    builders.map(({ name }) => [name, { steps: 0, elapsedMs: 0, fewer: 0, wrong: 0, more: 0 }]),
  );
  const commits = project.commits(Number(values.commits));
  for (const [i, commit] of commits.entries()) {
    commit.apply(tree);
    args = { ...args, ...commit.args };
    const built = builders.map((builder) => buildAll(builder, tree, project, args));
    for (const [b, builder] of builders.entries()) {
      const tally = tallies.get(builder.name)!;
      for (const [image, { steps, elapsedMs }] of built[b]!.entries()) {
        tally.steps += steps.length;
        tally.elapsedMs += elapsedMs;
        const ours = built[0]![image]!.steps;
        if (steps.length > ours.length) tally.more++;
        if (steps.length >= ours.length) continue;
        tally.fewer++;
        const { name } = project.images[image]!;
        if (isRight(builder, builders[0]!, project.images[image]!)) {
          console.log(`     ${name}: ${builder.name} ran ${list(steps)}; tsbuild ran ${list(ours)}`);
        } else {
          tally.wrong++;
          console.log(`     ${name}: the image of ${builder.name} lacks the change`);
        }
      }
    }
    const counts = built.map((images) => images.reduce((sum, { steps }) => sum + steps.length, 0));
    console.log(`${String(i + 1).padStart(3)}  ${counts.join(' / ').padEnd(16)} ${commit.subject}`);
  }
  rmSync(tree.root, { recursive: true });
  return tallies;
}

async function main(): Promise<void> {
  const dir = mkdtempSync('/var/tmp/tsbuild-bench-cache-');
  const builders: Builder[] = [createTsbuild(dir)];
  try {
    const wanted = (name: string) => !values.peer || values.peer.includes(name);
    const docker = wanted('docker') ? await startDocker(dir) : undefined;
    const buildah = wanted('buildah') ? createBuildah(dir) : undefined;
    builders.push(...[docker, buildah].filter((peer) => peer !== undefined));
    const base = makeBase(dir);
    for (const builder of builders) await builder.prepare(base);
    const machine = { cpu: cpus()[0]?.model, cores: cpus().length, kernel: release(), node: process.version };
    const stamp = new Date().toISOString().replace(/[:.]/g, '-');
    const file = join(import.meta.dirname, '../results', `cache-${stamp}.json`);
    mkdirSync(dirname(file), { recursive: true });
    const results = [];
    for (const [key, project] of Object.entries(PROJECTS)) {
      if (values.only && !values.only.split(',').includes(key)) continue;
      console.log(`\n${project.name}: steps run by ${builders.map(({ name }) => name).join(' / ')}`);
      const tallies = measure(project, builders, dir);
      results.push({
        project: project.name,
        commits: Number(values.commits),
        ...Object.fromEntries(tallies),
      });
      // After each project: a run that is stopped keeps the projects that it finished.
      writeFileSync(file, `${JSON.stringify({ machine, results }, null, 2)}\n`);
      for (const [name, { steps, elapsedMs, fewer, wrong, more }] of tallies) {
        const stale =
          fewer > 0 ? `, fewer in ${fewer}${wrong > 0 ? ` (${wrong} images lack the change)` : ''}` : '';
        const beside = name === builders[0]!.name ? '' : `, more than tsbuild in ${more} builds${stale}`;
        console.log(
          `  ${name.padEnd(14)} ${String(steps).padStart(5)} steps  ${(elapsedMs / 1000).toFixed(1).padStart(7)} s${beside}`,
        );
      }
    }
    console.log(`\nwritten to ${file}`);
  } finally {
    for (const builder of builders) await builder.stop();
    rmSync(dir, { recursive: true, force: true });
  }
}

await main();
