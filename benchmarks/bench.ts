import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { makeBaseRootfs } from '../test/kit/base-image.js';
import { newDockerRoot } from '../test/kit/engine.js';
import { findProgram } from '../test/kit/needs.js';
import { type Registry, startRegistry } from '../test/kit/registry.js';
import {
  type Builder,
  createBuildah,
  createTsbuild,
  type Docker,
  startDocker,
  startNewDocker,
} from './builders.js';
import { endOnCtrlC, measureRun, settle } from './measure.js';
import { plotRows, plotSeries } from './plot.js';
import {
  compareReports,
  formatRow,
  formatSeries,
  previousReport,
  type Report,
  type Row,
  rowOf,
  type Series,
} from './report.js';
import { type Bench, measureGrowth, measureMemory } from './scale.js';
import { changePulled, EDITED_FILE, type Limit, type Site, WORK_LOADS, type WorkLoad } from './work-loads.js';

/**
 * Measures tsbuild beside real builders in one run, round by round in turns, so that ratios hold on a noisy machine.
 *
 *   npm run bench -- [--quick] [--only A1,C,H,I] [--peer docker|buildah|none] [--scale 0.1] [--rounds N] [--dir /var/tmp]
 *
 * `--scale` multiplies the sizes of the letters that are about sizes (A3, D, F, G, H, I). What the builders keep lies below
 * `--dir`: its file system matters to F.
 *
 * `TSBUILD_DOCKER_ROOT` names a root directory with a newer Docker in it (docker.io, docker-cli and docker-buildx of Debian sid), which
 * is measured as well.
 */
const { values } = parseArgs({
  options: {
    quick: { type: 'boolean' },
    only: { type: 'string' },
    peer: { type: 'string', multiple: true },
    scale: { type: 'string', default: '1' },
    rounds: { type: 'string' },
    dir: { type: 'string', default: '/var/tmp' },
  },
});
const scale = Number(values.scale);
const only = values.only?.split(',');
const QUICK_ROUNDS = 3;
const PEERS: readonly string[] = ['docker build', 'new docker build', 'buildah'];
/** A peer that takes so many times as long as another one cannot be the best: it is measured once. */
const FAR_BEHIND = 3;
const FULL_ROUNDS = 7;

const roundsOf = (rounds: number) =>
  values.rounds ? Number(values.rounds) : values.quick ? Math.min(QUICK_ROUNDS, rounds) : rounds;
const isWanted = (letter: string, long = false) => (only ? only.includes(letter) : !(values.quick && long));

/** What all work loads of a run share. */
interface Machinery {
  /** tsbuild first. */
  readonly builders: readonly Builder[];
  /** The same for images that go into the newer Docker, where there is one. */
  readonly newBuilders: readonly Builder[];
  readonly dir: string;
  readonly rootfs: string;
  readonly rootfsTar: string;
  readonly registry: Registry | undefined;
}

/** Gives what it printed. */
function mustRun(args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(args[0]!, args.slice(1), { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${args.join(' ')} ended with ${status}: ${stderr}`);
  return stdout;
}

/** The images that a `pulled` work load has, in a registry. */
interface Pushed {
  /** For each image, a build on top of it, and its layers. */
  readonly images: readonly { readonly context: string; readonly blobs: readonly string[] }[];
  /** What is to be removed, after all rounds. */
  readonly made: readonly string[];
}

/**
 * Puts an image of that context into the registry for each round, gzip compressed. A builder that forgot one to pull it again would
 * measure how long its file system avoids inodes that were just given back, which takes longer than the pull (docs/performance.md, F).
 */
async function pushImages(
  { dir, registry, rootfsTar }: Machinery,
  context: string,
  rounds: number,
): Promise<Pushed> {
  const tar = join(dir, 'pulled.tar');
  // What the measured one has built it does not pull.
  const home = mkdtempSync(join(dir, 'pushing-'));
  const builder = createTsbuild(home);
  await builder.prepare(rootfsTar);
  const images: Pushed['images'][number][] = [];
  for (let round = 0; round < rounds; round++) {
    changePulled(context, round);
    await measureRun(builder.command(context, 'archive', tar)!);
    const image = `${registry!.host}/pulled:${round}`;
    mustRun([
      'skopeo',
      'copy',
      '-q',
      '--dest-tls-verify=false',
      `docker-archive:${tar}`,
      `docker://${image}`,
    ]);
    const manifest = mustRun(['skopeo', 'inspect', '--raw', '--tls-verify=false', `docker://${image}`]);
    const { layers } = JSON.parse(manifest) as { layers: readonly { digest: string }[] };
    const above = mkdtempSync(join(dir, 'pulling-'));
    writeFileSync(join(above, 'Dockerfile'), `FROM ${image}\nRUN true\n`);
    images.push({ context: above, blobs: layers.map(({ digest }) => blobFile(registry!, digest)) });
  }
  rmSync(tar);
  return { images, made: [home, ...images.map((image) => image.context)] };
}

function blobFile({ data }: Registry, digest: string): string {
  const hex = digest.split(':')[1]!;
  return join(data, 'docker/registry/v2/blobs/sha256', hex.slice(0, 2), hex, 'data');
}

async function measure(load: WorkLoad, machinery: Machinery): Promise<Row[]> {
  const { builders, dir, rootfs } = machinery;
  const made = mkdtempSync(join(dir, `context-${load.letter}-`));
  load.makeContext(made, scale);
  const rounds = roundsOf(load.rounds);
  const pushed = load.state === 'pulled' ? await pushImages(machinery, made, rounds) : undefined;
  const times = new Map<string, number[]>(builders.map(({ name }) => [name, []]));
  const peaks: number[] = [];
  const archiveOf = (builder: Builder) => join(dir, `${builder.name.replace(' ', '-')}.tar`);
  const able = buildersFor(load, machinery).filter((builder) =>
    builder.command(made, load.output, archiveOf(builder)),
  );
  const build = async (builder: Builder, context: string) => {
    const dest = archiveOf(builder);
    if (!load.keepsArchive || builder.needsEmptyPlace) rmSync(dest, { force: true });
    const { elapsedMs, peakBytes } = await measureRun(builder.command(context, load.output, dest)!);
    if (builder === builders[0]) peaks.push(peakBytes / 1e6);
    return elapsedMs;
  };
  const isPrimed = load.state === 'cached' || load.state === 'edited';
  if (isPrimed) {
    const first = new Map<string, number[]>();
    for (const builder of able) first.set(builder.name, [await build(builder, made)]);
    await settle();
    for (const builder of able) if (!isFarBehind(builder.name, first)) await build(builder, made);
  }
  const used = [made, ...able.map(archiveOf), ...(pushed?.made ?? [])];
  for (let round = 0; round < rounds; round++) {
    const { context, blobs } = pushed?.images[round] ?? { context: made, blobs: [] };
    const takeTurn = async (builder: Builder) => {
      if (load.state === 'cold') builder.dropCache();
      // As before a limit: what was dropped or made anew is not written to the disk beside the build.
      if (!isPrimed) mustRun(['sync']);
      if (load.state === 'edited') writeFileSync(join(context, EDITED_FILE), `console.log(${Date.now()});\n`);
      times.get(builder.name)!.push(await build(builder, context));
    };
    for (const builder of able) {
      if (isFarBehind(builder.name, times)) continue;
      await takeTurn(builder).catch((error: unknown) => takePeersTurnAgain(builder, error, takeTurn));
    }
    for (const limit of load.limits ?? []) {
      const scratch = mkdtempSync(join(dir, 'limit-'));
      await measureLimit(limit, { context, rootfs, blobs, scratch }, times);
      // Inodes that are given back would hold up those who pull.
      if (load.state === 'pulled') used.push(scratch);
      else rmSync(scratch, { recursive: true, force: true });
    }
  }
  for (const path of used) rmSync(path, { recursive: true, force: true });
  const row = rowOf({ ...load, unit: 'ms' }, times);
  if (load.state !== 'pulled') return [row];
  // Its memory is measured here, since only here is a registry with an image.
  const memory = { letter: `H ${load.letter}`, what: `peak memory: ${load.what}`, unit: 'MB' as const };
  return [row, rowOf(memory, new Map([['tsbuild', peaks]]))];
}

/** An engine that was just told to forget everything may still be about it: Docker 28 missed a snapshot that it had removed. */
async function takePeersTurnAgain(
  builder: Builder,
  error: unknown,
  takeTurn: (builder: Builder) => Promise<void>,
): Promise<void> {
  if (!PEERS.includes(builder.name) || process.exitCode === 130) throw error;
  console.log(`\n${builder.name} failed and has its turn again: ${(error as Error).message.trim()}`);
  await takeTurn(builder);
}

/** Each engine takes images for itself. */
function buildersFor({ output, engine }: WorkLoad, { builders, newBuilders }: Machinery): readonly Builder[] {
  if (output !== 'load') return builders;
  return engine === 'new' ? newBuilders : builders.filter(({ name }) => name !== 'new docker build');
}

/** Of the peers, by their first times. */
function isFarBehind(name: string, times: ReadonlyMap<string, readonly number[]>): boolean {
  const firstOf = (one: string) => times.get(one)?.[0] ?? Infinity;
  const peers = [...times.keys()].filter((one) => PEERS.includes(one));
  return (
    peers.includes(name) &&
    firstOf(name) > FAR_BEHIND * Math.min(...peers.map(firstOf)) &&
    firstOf(name) < Infinity
  );
}

async function measureLimit(limit: Limit, site: Site, times: Map<string, number[]>): Promise<void> {
  if (missing(limit.needs).length > 0) return;
  mustRun(['sync']);
  const { elapsedMs } = await measureRun({ args: limit.command(site) });
  times.set(limit.name, [...(times.get(limit.name) ?? []), elapsedMs]);
}

const missing = (programs: readonly string[]) => programs.filter((name) => findProgram(name) === undefined);

/** Why that work load cannot be measured here. */
function obstacle(load: WorkLoad, { registry, builders, newBuilders }: Machinery): string | undefined {
  if (load.state === 'pulled' && !registry) return 'it needs docker-registry and skopeo';
  if (load.engine === 'new') return newBuilders.length > 0 ? undefined : 'it needs TSBUILD_DOCKER_ROOT';
  if (load.output === 'load' && !builders.some(({ name }) => name === 'docker build'))
    return 'it needs docker.io';
  return undefined;
}

async function startBuilders(dir: string): Promise<Pick<Machinery, 'builders' | 'newBuilders'>> {
  const wanted = (name: string) => !values.peer || values.peer.some((peer) => name.startsWith(peer));
  const root = newDockerRoot();
  // First, since an engine without networks takes the bridge of others away when it starts.
  const newDocker: Docker | undefined = root && wanted('docker') ? await startNewDocker(root) : undefined;
  const docker = wanted('docker') ? await startDocker(dir) : undefined;
  const buildah = wanted('buildah') ? createBuildah(dir, docker?.engine) : undefined;
  if (!docker && wanted('docker'))
    console.log('docker build is not installed here (apt-get install docker.io)');
  if (!buildah && wanted('buildah')) console.log('buildah is not installed here (apt-get install buildah)');
  const all = [createTsbuild(dir, docker?.engine), docker, newDocker, buildah];
  return {
    builders: all.filter((builder) => builder !== undefined),
    newBuilders: newDocker ? [createTsbuild(dir, newDocker.engine), newDocker] : [],
  };
}

async function measureAll(machinery: Machinery): Promise<Pick<Report, 'rows' | 'series'>> {
  const rows: Row[] = [];
  const add = (row: Row) => {
    rows.push(row);
    console.log(formatRow(row));
  };
  for (const load of WORK_LOADS.filter(({ letter, long }) => isWanted(letter, long))) {
    const reason = obstacle(load, machinery);
    const lacking = missing((load.limits ?? []).flatMap(({ needs }) => needs));
    if (lacking.length > 0)
      console.log(`\n${load.letter}: no limit is measured without ${lacking.join(', ')}`);
    if (reason !== undefined) console.log(`\n${load.letter}: left out, ${reason}`);
    else (await measure(load, machinery)).forEach(add);
  }
  const bench: Bench = {
    tsbuild: machinery.builders[0]!,
    dir: machinery.dir,
    scale,
    rounds: roundsOf(FULL_ROUNDS),
  };
  if (isWanted('H', true)) (await measureMemory(bench)).forEach(add);
  const series: readonly Series[] = isWanted('I', true) ? await measureGrowth(bench) : [];
  for (const one of series) console.log(formatSeries(one));
  return { rows, series };
}

/** Keeps the report and its plots; tells what changed since the one before. */
function keep(report: Report): void {
  const results = join(import.meta.dirname, 'results');
  mkdirSync(results, { recursive: true });
  const before = previousReport(results, scale);
  if (before) console.log([`\nsince ${before.date}:`, ...compareReports(before, report)].join('\n'));
  const file = join(results, report.date.replace(/[:.]/g, '-'));
  writeFileSync(`${file}.json`, `${JSON.stringify(report, null, 2)}\n`);
  writeFileSync(`${file}.svg`, plotRows(report.rows));
  if (report.series.length > 0) writeFileSync(`${file}-growth.svg`, plotSeries(report.series));
  console.log(`\nwritten to ${file}.json, with plots beside it`);
}

async function main(): Promise<void> {
  endOnCtrlC();
  const dir = mkdtempSync(join(values.dir, 'tsbuild-bench-'));
  const date = new Date().toISOString();
  const load = loadavg()[0];
  let started: Pick<Machinery, 'builders' | 'newBuilders'> = { builders: [], newBuilders: [] };
  let registry: Registry | undefined;
  try {
    started = await startBuilders(dir);
    const { builders } = started;
    if (isWanted('F', true) && missing(['docker-registry', 'skopeo']).length === 0)
      registry = await startRegistry();
    const rootfs = makeBaseRootfs(join(dir, 'rootfs'));
    const rootfsTar = join(dir, 'rootfs.tar');
    mustRun(['tar', '--numeric-owner', '-cf', rootfsTar, '-C', rootfs, '.']);
    for (const builder of builders) await builder.prepare(rootfsTar);
    const machine = {
      cpu: cpus()[0]?.model,
      cores: cpus().length,
      memoryBytes: totalmem(),
      kernel: release(),
      node: process.version,
      load,
    };
    keep({ date, machine, scale, ...(await measureAll({ ...started, dir, rootfs, rootfsTar, registry })) });
  } finally {
    for (const builder of started.builders) await builder.stop();
    await registry?.stop();
    rmSync(dir, { recursive: true, force: true });
  }
}

try {
  await main();
} catch (error) {
  if (process.exitCode !== 130) throw error;
  console.error('interrupted');
}
