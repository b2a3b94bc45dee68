import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { makeBaseRootfs } from '../test/kit/base-image.js';
import { type Builder, createBuildah, createTsbuild, startDocker } from './builders.js';
import { WORK_LOADS, type WorkLoad } from './work-loads.js';

/**
 * Measures tsbuild beside real builders in one run, round by round in turns, so that ratios hold on a noisy machine.
 *
 *   npm run bench -- [--quick] [--only A1,C] [--peer docker|buildah]
 */
const { values } = parseArgs({
  options: { quick: { type: 'boolean' }, only: { type: 'string' }, peer: { type: 'string', multiple: true } },
});

interface Row {
  readonly letter: string;
  readonly what: string;
  readonly medians: Readonly<Record<string, number>>;
  readonly spreads: Readonly<Record<string, number>>;
}

const median = (times: readonly number[]) => [...times].sort((a, b) => a - b)[Math.floor(times.length / 2)]!;

/** Milliseconds of one whole process. */
function time(args: readonly string[], env: NodeJS.ProcessEnv = {}): number {
  const started = performance.now();
  const result = spawnSync(args[0]!, args.slice(1), {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
    encoding: 'utf8',
  });
  const elapsed = performance.now() - started;
  if (result.status !== 0) throw new Error(`${args.join(' ')} ended with ${result.status}: ${result.stderr}`);
  return elapsed;
}

function measure(load: WorkLoad, builders: readonly Builder[], dir: string): Row {
  const context = join(dir, `context-${load.letter}`);
  mkdirSync(context);
  load.makeContext(context);
  const times = new Map<string, number[]>();
  const record = (name: string, elapsedMs: number) =>
    times.set(name, [...(times.get(name) ?? []), elapsedMs]);
  const build = (builder: Builder) => {
    const dest = join(dir, 'out.tar');
    rmSync(dest, { force: true });
    const { args, env } = builder.command(context, load.output, dest);
    return time(args, env);
  };
  if (load.state === 'cached') for (const builder of builders) for (let i = 0; i < 2; i++) build(builder);
  const rounds = values.quick ? Math.min(3, load.rounds) : load.rounds;
  for (let round = 0; round < rounds; round++) {
    for (const builder of builders) {
      if (load.state === 'cold') builder.dropCache();
      record(builder.name, build(builder));
    }
    if (load.limit) record(load.limit.name, time(load.limit.command(context)));
  }
  rmSync(context, { recursive: true, force: true });
  const entries = [...times];
  return {
    letter: load.letter,
    what: load.what,
    medians: Object.fromEntries(entries.map(([name, list]) => [name, Math.round(median(list))])),
    spreads: Object.fromEntries(
      entries.map(([name, list]) => [name, Math.round(Math.max(...list) - Math.min(...list))]),
    ),
  };
}

function print(row: Row): void {
  console.log(`\n${row.letter}  ${row.what}`);
  const own = row.medians['tsbuild']!;
  for (const [name, ms] of Object.entries(row.medians)) {
    const ratio = name === 'tsbuild' ? '' : `  tsbuild/${name} = ${(own / ms).toFixed(2)}`;
    console.log(`  ${name.padEnd(20)} ${String(ms).padStart(7)} ms  (spread ${row.spreads[name]})${ratio}`);
  }
}

async function main(): Promise<void> {
  const dir = mkdtempSync('/var/tmp/tsbuild-bench-');
  const builders: Builder[] = [createTsbuild(dir)];
  try {
    const wanted = (name: string) => !values.peer || values.peer.some((peer) => name.startsWith(peer));
    const docker = wanted('docker') ? await startDocker(dir) : undefined;
    const buildah = wanted('buildah') ? createBuildah(dir) : undefined;
    if (docker) builders.push(docker);
    if (buildah) builders.push(buildah);
    for (const [name, peer] of [
      ['docker build', docker],
      ['buildah', buildah],
    ] as const) {
      if (!peer && wanted(name))
        console.log(`${name} is not installed here (apt-get install docker.io buildah)`);
    }
    const rootfs = makeBaseRootfs(join(dir, 'rootfs'));
    const rootfsTar = join(dir, 'rootfs.tar');
    time(['tar', '--numeric-owner', '-cf', rootfsTar, '-C', rootfs, '.']);
    for (const builder of builders) await builder.prepare(rootfsTar);
    const only = values.only?.split(',');
    const rows: Row[] = [];
    for (const load of WORK_LOADS) {
      if (only ? !only.includes(load.letter) : values.quick && load.long) continue;
      const row = measure(load, builders, dir);
      rows.push(row);
      print(row);
    }
    const results = join(import.meta.dirname, 'results');
    mkdirSync(results, { recursive: true });
    const machine = { cpu: cpus()[0]?.model, cores: cpus().length, kernel: release(), node: process.version };
    const file = join(results, `${new Date().toISOString().replace(/[:.]/g, '-')}.json`);
    writeFileSync(file, `${JSON.stringify({ machine, rows }, null, 2)}\n`);
    console.log(`\nwritten to ${file}`);
  } finally {
    for (const builder of builders) await builder.stop();
    rmSync(dir, { recursive: true, force: true });
  }
}

await main();
