import { expect } from 'chai';
import { rmSync } from 'node:fs';
import { build, BuildError } from '../../src/index.js';
import { makeBaseRootfs } from '../kit/base-image.js';
import { makeContext } from '../kit/context.js';
import { needs } from '../kit/needs.js';
import {
  type BuildState,
  dockerfileOf,
  Random,
  randomEdit,
  randomState,
  writeState,
} from '../kit/random-build.js';
import { tmpDir } from '../kit/tmp-dir.js';

const SEED = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
const EDITS = Number(process.env['EDITS'] ?? (process.env['TSBUILD_CI'] ? 2000 : 400));
/** Of a hundred states, those on an image with a shell, whose RUN instructions cost a process each. */
const RUN_PERCENT = Number(process.env['RUN_PERCENT'] ?? (process.env['TSBUILD_CI'] ? 8 : 4));
const EDITS_OF_ONE = 25;

/** The image's ID, or the code of the error. */
async function outcome(root: string, context: string, state: BuildState, noCache: boolean): Promise<string> {
  try {
    const { platforms } = await build({
      root,
      context,
      dockerfileText: dockerfileOf(state),
      buildArgs: state.args,
      // Keys leave times out, so that a hit may bring older files: none has another time than this.
      sourceDateEpochSec: 0,
      noCache,
      tags: ['random'],
    });
    return String(platforms[0]!.imageId);
  } catch (error) {
    if (error instanceof BuildError) return `${error.code}: ${error.message}`;
    throw error;
  }
}

describe(`a cached build, after random edits (SEED=${SEED} EDITS=${EDITS})`, function () {
  this.timeout(0);

  before(function () {
    needs(this, 'root', { program: 'crun' }, { program: 'busybox' });
  });

  it('gives the files and the config of a build without cache', async () => {
    const roots = { cached: tmpDir(), fresh: tmpDir() };
    await buildBase(Object.values(roots));
    const counts = { images: 0, errors: 0 };
    for (let edit = 0, family = 0; edit < EDITS; family++) {
      const random = new Random(SEED + family);
      const hasShell = random.chance(RUN_PERCENT);
      const context = tmpDir();
      const states = [randomState(random, hasShell ? 'base' : undefined)];
      for (let i = 0; i < EDITS_OF_ONE && edit < EDITS; i++, edit++) {
        const [state, last] = [states.at(-1)!, states.at(-2)];
        writeState(context, state, last);
        const cached = await outcome(roots.cached, context, state, false);
        const fresh = await outcome(roots.fresh, context, state, true);
        if (cached !== fresh) expect.fail(await report(states, { family, cached, fresh }));
        counts[cached.startsWith('sha256:') ? 'images' : 'errors'] += 1;
        states.push(random.chance(15) ? random.pick(states) : randomEdit(random, state, hasShell));
      }
      rmSync(context, { recursive: true });
    }
    console.log(`      ${counts.images} images, ${counts.errors} equal errors`);
    expect(counts.images).to.be.greaterThan(EDITS / 2);
  });
});

async function buildBase(roots: readonly string[]): Promise<void> {
  const context = makeContext({
    Dockerfile: 'FROM scratch\nCOPY . /\n',
    '.dockerignore': 'Dockerfile\n.dockerignore\n',
  });
  makeBaseRootfs(context);
  for (const root of roots) await build({ root, context, tags: ['base'], sourceDateEpochSec: 0 });
}

interface Failure {
  readonly family: number;
  readonly cached: string;
  readonly fresh: string;
}

/** Shrinks to two states where one earlier state is enough to spoil the cache. */
async function report(states: readonly BuildState[], { family, cached, fresh }: Failure): Promise<string> {
  const final = states.at(-1)!;
  const head = `seed ${SEED}, family ${family}, edit ${states.length - 1}: cached ${cached}, without cache ${fresh}`;
  for (const earlier of states.slice(0, -1).reverse()) {
    const root = tmpDir();
    await buildBase([root]);
    const context = tmpDir();
    writeState(context, earlier);
    await outcome(root, context, earlier, false);
    writeState(context, final, earlier);
    if ((await outcome(root, context, final, false)) !== fresh)
      return `${head}\nfirst: ${show(earlier)}\nthen: ${show(final)}`;
  }
  return `${head}\n${show(final)}\n(it takes more than one earlier state)`;
}

function show(state: BuildState): string {
  const { files, ignore, args } = state;
  return `${JSON.stringify({ files, ignore, args })}\n${dockerfileOf(state)}`;
}
