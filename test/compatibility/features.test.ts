import { expect } from 'chai';
import { mkdtempSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { mustRun, PROJECT } from '../kit/cli.js';
import { tmpDir } from '../kit/tmp-dir.js';
import { FEATURES } from './features.js';

describe('the features of docs/compatibility.md', function () {
  this.timeout(120_000);

  it('name tests that exist', async () => {
    const file = join(mkdtempSync(join(tmpDir(), 'titles-')), 'titles.json');
    const reporter = ['--reporter', 'json', '--reporter-option', `output=${file}`];
    await mustRun('npx', ['mocha', 'test/**/*.test.ts', '--dry-run', ...reporter], { cwd: PROJECT });
    const { tests } = JSON.parse(readFileSync(file, 'utf8')) as { readonly tests: { fullTitle: string }[] };
    const missing = FEATURES.flatMap(({ name, tests: patterns }) =>
      patterns
        .filter((pattern) => !tests.some(({ fullTitle }) => pattern.test(fullTitle)))
        .map((pattern) => `${name}: ${String(pattern)}`),
    );
    expect(missing).to.deep.equal([]);
  });
});
