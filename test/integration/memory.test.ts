import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { measureRun, settle } from '../../benchmarks/measure.js';
import { copyOfTree } from '../../benchmarks/work-loads.js';
import { TSBUILD } from '../kit/cli.js';
import { tmpDir } from '../kit/tmp-dir.js';

/** The most that a build may hold, whatever it builds. */
const MOST_BYTES = 200e6;

describe('memory', function () {
  this.timeout(120_000);

  it('stays below 200 MB while 50,000 files are hashed, copied and archived', async () => {
    const context = join(tmpDir(), 'context');
    mkdirSync(context);
    copyOfTree(context, 50_000, 200);
    writeFileSync(join(context, 'Dockerfile'), 'FROM scratch\nCOPY tree /tree\n');
    await settle();
    const dest = join(tmpDir(), 'out.tar');
    const args = [TSBUILD, context, '-q', '-o', `type=docker,dest=${dest}`];
    const { peakBytes } = await measureRun({ args, env: { TSBUILD_ROOT: tmpDir() } });
    expect(peakBytes).to.be.above(50e6).and.below(MOST_BYTES);
  });
});
