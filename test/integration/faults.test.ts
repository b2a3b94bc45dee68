import { expect } from 'chai';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeBaseRootfs } from '../kit/base-image.js';
import { TSBUILD, tsbuildIn } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { processesWith, tracesOf } from '../kit/machine-state.js';
import { needs } from '../kit/needs.js';
import { Random } from '../kit/random-build.js';
import { tmpDir } from '../kit/tmp-dir.js';

const SEED = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
const FAULTS = Number(process.env['FAULTS'] ?? (process.env['TSBUILD_CI'] ? 50 : 20));
const LIST_FAULTS = Math.ceil(FAULTS / 5);
const EXECUTORS = ['crun', 'crun', 'runc', 'sandbox'];
const MARK = process.pid;

const DOCKERFILE = [
  'FROM base AS one',
  'ARG N=0',
  'COPY a.txt /a/',
  `RUN echo $N > /n && mkdir /many && for i in $(seq 60); do echo $i > /many/$i; done && sleep 0.0${MARK}`,
  'FROM base AS two',
  'COPY . /all/',
  'RUN --mount=type=cache,target=/c cp -r /all /copy && date > /c/when',
  'FROM base',
  'COPY --from=one /many /many',
  'COPY --from=two /copy /copy',
  'WORKDIR /w',
  'RUN cat /many/* > sum',
].join('\n');

describe(`a store, after faults (SEED=${SEED} FAULTS=${FAULTS})`, function () {
  this.timeout(0);
  const root = tmpDir();
  const random = new Random(SEED);
  const env = { SOURCE_DATE_EPOCH: '1' };
  const context = makeContext({
    Dockerfile: DOCKERFILE,
    'a.txt': 'a\n',
    'd/big': Buffer.alloc(3 << 20, 'x'),
  });

  const base = makeContext({
    Dockerfile: 'FROM scratch\nCOPY . /\n',
    '.dockerignore': 'Dockerfile\n.dockerignore\n',
  });

  before(async function () {
    needs(this, 'root', { program: 'crun' }, { program: 'runc' }, { program: 'busybox' });
    makeBaseRootfs(base);
    await tsbuildIn(root, env).must([base, '-t', 'base']);
  });

  async function imageOf(arguments_: readonly string[], store = root): Promise<string> {
    const { stdout } = await tsbuildIn(store, env).must([context, '-q', ...arguments_]);
    return stdout.trim();
  }

  /** Of a store that nothing ever happened to. */
  async function undisturbed(arguments_: readonly string[]): Promise<string> {
    const own = tmpDir();
    await tsbuildIn(own, env).must([base, '-t', 'base']);
    const image = await imageOf(arguments_, own);
    rmSync(own, { recursive: true });
    return image;
  }

  it(`that killed builds at ${FAULTS} random points gives the right image, and nothing is left of them`, async () => {
    const expected = await undisturbed([]);
    const started = performance.now();
    await imageOf(['--no-cache']);
    const wholeMs = performance.now() - started;
    let killed = 0;
    for (let fault = 0; fault < FAULTS; fault++) {
      const afterMs = random.int(Math.round(wholeMs * 1.1));
      const executor = random.pick(EXECUTORS);
      const child = spawn(TSBUILD, [context, '-q', '-t', 'victim', '--no-cache'], {
        env: { ...process.env, ...env, TSBUILD_ROOT: root, TSBUILD_EXECUTOR: executor },
        stdio: 'ignore',
      });
      killed += await killAfter(child, afterMs);
      const what = `SEED=${SEED}, fault ${fault}: ${executor} killed after ${afterMs} ms`;
      expect(await imageOf([]), what).to.equal(expected);
      expect(processesWith(`sleep 0.0${MARK}`), what).to.deep.equal([]);
      expect(tracesOf(root, [child.pid!]), what).to.deep.equal([]);
    }
    expect(killed, 'builds that were killed before their end').to.be.greaterThan(FAULTS / 4);
    const { stdout } = await tsbuildIn(root).must(['doctor', '--store']);
    expect(stdout).to.not.match(/set aside/);
  });

  it(`whose files are damaged at ${FAULTS} random places is not believed`, async () => {
    const expected = await undisturbed([]);
    for (let fault = 0; fault < FAULTS; fault++) {
      await imageOf([]);
      await endsRightAfterDamageOf(random.pick(filesOf(root)), expected, `SEED=${SEED}, fault ${fault}`);
    }
  });

  it(`whose list of images is damaged at ${LIST_FAULTS} random places is not believed`, async () => {
    const expected = await undisturbed([]);
    for (let fault = 0; fault < LIST_FAULTS; fault++) {
      const list = join(root, 'content/index.json');
      await endsRightAfterDamageOf(list, expected, `SEED=${SEED}, fault ${fault}`);
    }
  });

  async function endsRightAfterDamageOf(path: string, expected: string, which: string): Promise<void> {
    const how = damage(path, random);
    const what = `${which}: ${path.slice(root.length)} ${how}`;
    const dest = join(tmpDir(), 'image.tar');
    const result = await tsbuildIn(root, env).run([context, '-q', '-o', `type=docker,dest=${dest}`]);
    if (result.status !== 0) {
      // Damage that shows only while a file is read is an error that says so; the list of images may lose a name.
      const codes = /BLOB_CORRUPT|STORE_DAMAGED|MANIFEST_INVALID|REGISTRY_UNREACHABLE/;
      expect(result.stderr, `${what}\n${result.stderr}`).to.match(codes);
    }
    await tsbuildIn(root).run(['doctor', '--store']);
    await tsbuildIn(root, env).must([base, '-q', '-t', 'base']);
    expect(await imageOf([]), what).to.equal(expected);
  }
});

/** 1 when the process was still there. */
async function killAfter(child: ChildProcess, afterMs: number): Promise<number> {
  const exit = once(child, 'exit');
  await Promise.race([exit, sleep(afterMs)]);
  const alive = child.exitCode === null && child.signalCode === null;
  if (alive) child.kill('SIGKILL');
  await exit;
  return alive ? 1 : 0;
}

/** Everything that a build may read, but for what it makes anew without looking. */
function filesOf(root: string): string[] {
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((name) => /^(records|stat|content\/(blobs|index)|snapshots\/[0-9a-f]+\/[a-z0-9-]+$)/.test(name))
    .map((name) => join(root, name))
    .filter((path) => statSync(path).isFile() && statSync(path).size > 0);
}

function damage(path: string, random: Random): string {
  const { size } = statSync(path);
  if (random.chance(30)) {
    const kept = random.int(size);
    truncateSync(path, kept);
    return `cut to ${kept} of ${size} bytes`;
  }
  const bytes = readFileSync(path);
  const at = random.int(size);
  const bit = random.int(8);
  bytes[at]! ^= 1 << bit;
  writeFileSync(path, bytes);
  return `bit ${bit} of byte ${at} flipped`;
}
