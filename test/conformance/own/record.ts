import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { mustRun, runCommand, tsbuildIn } from '../../kit/cli.js';
import { tmpDir } from '../../kit/tmp-dir.js';
import { inParallel } from '../../property/tables/builder.js';
import { describeImage, readArchive, withoutTime } from './archive.js';
import { type BuiltImage, keyOf, optionsOf, type OwnCase, type Recorded, type Result } from './case.js';
import { OWN_CASES } from './cases.js';
import { makeBaseContext, makeCaseContext } from './setup.js';

/**
 * Builds every case twice with the builder of `docker` on PATH (DOCKER_HOST says where it is) and writes recorded.json.
 * With names as arguments, only those cases are recorded again.
 */
const FILE = join(import.meta.dirname, 'recorded.json');
const wanted = process.argv.slice(2);

const baseArchive = join(tmpDir(), 'base.tar');
await tsbuildIn(tmpDir()).must([
  'build',
  makeBaseContext(),
  '-t',
  'base',
  '-o',
  `type=docker,dest=${baseArchive}`,
]);
await mustRun('docker', ['load', '-i', baseArchive]);
const base = readArchive(baseArchive);

const judged = OWN_CASES.filter((ownCase) => ownCase.newer === undefined);
const cases = judged.filter((ownCase) => wanted.length === 0 || wanted.includes(ownCase.name));
const passes = [await buildAll(), await buildAll()] as const;

const before = previous();
const recorded: Record<string, Result> = {};
for (const ownCase of judged) {
  const at = cases.indexOf(ownCase);
  const result = at < 0 ? before[keyOf(ownCase)] : inBoth(passes[0][at]!, passes[1][at]!);
  if (result === undefined) throw new Error(`${keyOf(ownCase)} was never recorded`);
  if ('fails' in result !== (ownCase.expect === 'fails')) console.log(`not as expected: ${keyOf(ownCase)}`);
  recorded[keyOf(ownCase)] = result;
}
const head: Omit<Recorded, 'cases'> = { builder: await version(), platform: 'linux/amd64' };
const lines = Object.keys(recorded)
  .sort()
  .map((key) => `${JSON.stringify(key)}: ${JSON.stringify(recorded[key])}`);
writeFileSync(FILE, `${JSON.stringify(head).slice(0, -1)},"cases":{\n${lines.join(',\n')}\n}}\n`);
console.log(`${lines.length} cases, builder: ${head.builder}`);

/** Without a cache: `--no-cache` alone keeps what WORKDIR and heredocs made. */
async function buildAll(): Promise<Result[]> {
  await mustRun('docker', ['buildx', 'prune', '--all', '--force']);
  return inParallel(cases, build);
}

async function build(ownCase: OwnCase): Promise<Result> {
  const context = makeCaseContext(ownCase);
  const archive = join(tmpDir(), 'image.tar');
  const options = [...optionsOf(ownCase), '--network', 'host', '--provenance=false'];
  const result = await runCommand(
    'docker',
    ['buildx', 'build', ...options, '-o', `type=docker,dest=${archive}`, '-t', 'own', '.'],
    { cwd: context, env: { ...ownCase.env, BUILDKIT_PROGRESS: 'plain' } },
  );
  if (result.status === 0) return describeImage(readArchive(archive), base);
  console.log(`${keyOf(ownCase)}: ${result.stderr.trim().split('\n').at(-1)}`);
  return { fails: true };
}

/** What two builds have in common: times that differ are left out. */
function inBoth(one: Result, two: Result): Result {
  if ('fails' in one || 'fails' in two) {
    if ('fails' in one && 'fails' in two) return one;
    throw new Error('one of two builds failed');
  }
  const tree: Record<string, string | null> = {};
  for (const [path, line] of Object.entries(one.tree)) {
    const other = two.tree[path];
    tree[path] = line === other ? line : withoutTime(line);
    if (withoutTime(line) !== withoutTime(other ?? null))
      throw new Error(`${path} differs between two builds: ${line} <> ${other}`);
  }
  return { ...one, tree } satisfies BuiltImage;
}

async function version(): Promise<string> {
  const engine = await mustRun('docker', ['version', '--format', '{{.Server.Version}}']);
  const inspected = await mustRun('docker', ['buildx', 'inspect']);
  const buildkit = /BuildKit version: *(\S+)/.exec(inspected)?.[1];
  return `Docker ${engine.trim()}${buildkit?.includes('unknown') ? '' : `, BuildKit ${buildkit}`}`;
}

function previous(): Readonly<Record<string, Result>> {
  if (wanted.length === 0) return {};
  return (JSON.parse(readFileSync(FILE, 'utf8')) as Recorded).cases;
}
