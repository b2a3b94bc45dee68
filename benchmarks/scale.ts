import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Builder } from './builders.js';
import { measureRun, settle } from './measure.js';
import { type Row, rowOf, type Series } from './report.js';
import { copyOfTree, steps, WORK_LOADS } from './work-loads.js';

/** The letters that are about tsbuild alone: memory (H) and growth (I). */
export interface Bench {
  readonly tsbuild: Builder;
  readonly dir: string;
  readonly scale: number;
  readonly rounds: number;
}

function contextIn({ dir }: Bench, make: (context: string) => void): string {
  const context = mkdtempSync(join(dir, 'context-'));
  make(context);
  return context;
}

async function buildOnce({ tsbuild, dir }: Bench, context: string, output: 'store' | 'archive' = 'store') {
  const dest = join(mkdtempSync(join(dir, 'out-')), 'out.tar');
  const run = await measureRun(tsbuild.command(context, output, dest)!);
  rmSync(join(dest, '..'), { recursive: true, force: true });
  return run;
}

/** H: the most memory of a process in D, D4, and with a step that prints much. */
export async function measureMemory(bench: Bench): Promise<Row[]> {
  const printed = Math.ceil(bench.scale * (1 << 30));
  const print = (context: string) =>
    writeFileSync(
      join(context, 'Dockerfile'),
      `FROM bench-base\nRUN yes a line of output | head -c ${printed}\n`,
    );
  const loads = ['D', 'D4'].map((letter) => WORK_LOADS.find((load) => load.letter === letter)!);
  const cases = [
    ...loads.map(({ letter, what, makeContext, output }) => ({
      name: `H ${letter}`,
      what,
      makeContext,
      output,
    })),
    { name: 'H output', what: '1 GiB of output of a step', makeContext: print, output: 'store' as const },
  ];
  const rows: Row[] = [];
  for (const { name, what, makeContext, output } of cases) {
    const context = contextIn(bench, (dir) => makeContext(dir, bench.scale));
    const peaks: number[] = [];
    for (let round = 0; round < Math.min(3, bench.rounds); round++) {
      bench.tsbuild.dropCache();
      peaks.push((await buildOnce(bench, context, output as 'store' | 'archive')).peakBytes / 1e6);
    }
    rmSync(context, { recursive: true, force: true });
    rows.push(
      rowOf({ letter: name, what: `peak memory: ${what}`, unit: 'MB' }, new Map([['tsbuild', peaks]])),
    );
  }
  return rows;
}

/** I: cold steps, cached files, layers below a step, builds at once. */
export async function measureGrowth(bench: Bench): Promise<Series[]> {
  const sizes = (...all: number[]) => all.filter((size, i) => i < 2 || size <= all.at(-1)! * bench.scale);
  return [
    await series('cold RUN true, by number of steps', sizes(10, 100, 1_000), (count) =>
      coldSteps(bench, count),
    ),
    await series(
      'nothing changed, by number of files copied',
      sizes(1_000, 10_000, 100_000, 1_000_000),
      (count) => cachedFiles(bench, count),
    ),
    await series('one cold RUN, by number of layers below it', sizes(1, 10, 120), (count) =>
      stepOnLayers(bench, count),
    ),
    await series('builds of one cold RUN at once', sizes(1, 4, 16), (count) => buildsAtOnce(bench, count)),
  ];
}

async function series(
  name: string,
  sizes: readonly number[],
  measure: (size: number) => Promise<number>,
): Promise<Series> {
  const points: [number, number][] = [];
  for (const size of sizes) points.push([size, await measure(size)]);
  return { name, points };
}

/** The shortest of some rounds: what the work takes when nothing else runs. */
async function shortest(bench: Bench, measure: () => Promise<number>): Promise<number> {
  let best = Infinity;
  for (let round = 0; round < Math.min(3, bench.rounds); round++) best = Math.min(best, await measure());
  return best;
}

const dockerfile = (context: string, lines: string) =>
  writeFileSync(join(context, 'Dockerfile'), `${lines}\n`);

async function coldSteps(bench: Bench, count: number): Promise<number> {
  // 1,000 layers are more than one overlay holds, so that every hundredth step begins a stage.
  const lines = steps(count, (i) => `${i % 100 === 0 ? `FROM bench-base AS s${i}\n` : ''}RUN true ${i}`);
  const stages = steps(Math.ceil(count / 100), (i) => `COPY --from=s${i * 100} /etc/passwd /p${i}`);
  const context = contextIn(bench, (dir) => dockerfile(dir, `${lines}\nFROM bench-base\n${stages}`));
  return shortest(bench, async () => {
    bench.tsbuild.dropCache();
    return (await buildOnce(bench, context)).elapsedMs;
  });
}

async function cachedFiles(bench: Bench, count: number): Promise<number> {
  const context = contextIn(bench, (dir) => copyOfTree(dir, count, 100));
  for (let i = 0; i < 3; i++) {
    await buildOnce(bench, context);
    if (i === 0) await settle();
  }
  const elapsedMs = await shortest(bench, async () => (await buildOnce(bench, context)).elapsedMs);
  rmSync(context, { recursive: true, force: true });
  return elapsedMs;
}

async function stepOnLayers(bench: Bench, count: number): Promise<number> {
  let round = 0;
  const context = contextIn(bench, (dir) => writeFileSync(join(dir, 'file'), 'text\n'));
  return shortest(bench, async () => {
    const layers = steps(count, (i) => `COPY file /file-${i}`);
    dockerfile(context, `FROM bench-base\n${layers}`);
    await buildOnce(bench, context);
    dockerfile(context, `FROM bench-base\n${layers}\nRUN true ${count} ${round++}`);
    return (await buildOnce(bench, context)).elapsedMs;
  });
}

async function buildsAtOnce(bench: Bench, count: number): Promise<number> {
  const contexts = Array.from({ length: count }, (_, i) =>
    contextIn(bench, (dir) => dockerfile(dir, `FROM bench-base\nRUN true ${i} of ${count}`)),
  );
  return shortest(bench, async () => {
    bench.tsbuild.dropCache();
    const started = performance.now();
    await Promise.all(contexts.map((context) => buildOnce(bench, context)));
    return performance.now() - started;
  });
}
