import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { format } from 'prettier';
import { tmpDir } from '../../kit/tmp-dir.js';
import { expansionCase, expansionOfBuilder, expansionOfTsbuild } from '../expansion-cases.js';
import { ignoreCase, ignoreOfBuilder, ignoreOfTsbuild } from '../ignore-cases.js';
import { wildcardCase, wildcardOfBuilder, wildcardOfTsbuild } from '../wildcard-cases.js';
import { type Builder, openBuilder } from './builder.js';
import { distinctCases, Random } from './random.js';
import { makeTable, tableFile } from './table.js';
import { makeTree } from './tree.js';

/**
 * Writes the tables again: `DOCKER_HOST=unix:///… npx tsx test/property/tables/record.ts [NAME…]`. The engine has to be Docker
 * 28 or newer, and `docker` on PATH needs its buildx, whose rules decide what of a context is sent. $FUZZ_SEED and $FUZZ_CASES
 * change what is asked; each table takes some ten minutes.
 */
const context = makeTree(join(tmpDir(), 'context'));
const state = tmpDir();
const ignoreFails = (text: string) => ignoreOfTsbuild(context, state, text) === 'error';
const wildcardFails = async (text: string) =>
  (await wildcardOfTsbuild(context, state, text)).startsWith('error');
const expansionFails = async (text: string) => (await expansionOfTsbuild(text)) === 'error';

const SOURCES: Record<string, Source> = {
  ignore: { make: ignoreCase, ask: (docker, cases) => ignoreOfBuilder(docker, cases, ignoreFails) },
  wildcard: { make: wildcardCase, ask: (docker, cases) => wildcardOfBuilder(docker, cases, wildcardFails) },
  expansion: {
    make: expansionCase,
    ask: (docker, cases) => expansionOfBuilder(docker, cases, expansionFails),
  },
};

interface Source {
  readonly make: (random: Random) => string;
  readonly ask: (builder: Builder, cases: readonly string[]) => Promise<string[]>;
}

const seed = Number(process.env['FUZZ_SEED'] ?? 20);
const count = Number(process.env['FUZZ_CASES'] ?? 3600);
const wanted = process.argv.slice(2);

const builder = await openBuilder();
const version = (await builder.docker('version', '--format', '{{.Server.Version}}')).stdout.trim();
for (const [name, { make, ask }] of Object.entries(SOURCES)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  const random = new Random(seed);
  const cases = distinctCases(count, () => make(random));
  const started = performance.now();
  const table = makeTable(version, seed, cases, await ask(builder, cases));
  writeFileSync(tableFile(name), await format(JSON.stringify(table), { parser: 'json', printWidth: 110 }));
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  console.log(`${name}: ${cases.length} cases, ${table.results.length} results, ${seconds} s`);
}
await builder.stop();
