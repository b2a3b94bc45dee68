import { expect } from 'chai';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT, runCommand, TSBUILD } from '../kit/cli.js';
import { needs } from '../kit/needs.js';
import { tmpDir } from '../kit/tmp-dir.js';

const SUITE = process.env['TSBUILD_CONFORMANCE'] ?? join(PROJECT, '../shared/conformance');

/** Cases of features that this version does not have, by name, with the feature. */
const notYet = JSON.parse(readFileSync(join(import.meta.dirname, 'not-yet.json'), 'utf8')) as Record<
  string,
  string
>;

/** Dockerfiles with the results that a newer BuildKit gave; the suite is not part of the project. */
describe('the conformance suite', function () {
  this.timeout(900_000);

  before(function () {
    if (!existsSync(join(SUITE, 'run.py'))) this.skip();
    needs(this, 'root', { program: 'python3' }, { program: 'docker-registry' });
  });

  it('gives what BuildKit gives, but for features that are listed', async () => {
    const report = join(tmpDir(), 'report.jsonl');
    const build = `${TSBUILD} build {context} -f {dockerfile} {options} --secret-scan=off -t conformance:case -o type=oci,dest={out}{outattrs} --progress plain`;
    const check = `${TSBUILD} build {context} -f {dockerfile} {options} --check`;
    const result = await runCommand(join(SUITE, 'run.py'), [
      '--json',
      report,
      '--tsbuild',
      build,
      '--tsbuild-check',
      check,
    ]);
    expect(result.stdout).to.match(/\d+ passed, \d+ failed/);
    const rows = readFileSync(report, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { name: string; result: string });
    const failed = rows.filter((row) => !['same', 'both-fail'].includes(row.result)).map((row) => row.name);
    expect(
      failed.filter((name) => !(name in notYet)),
      'newly failing',
    ).to.deep.equal([]);
    expect(
      Object.keys(notYet).filter((name) => !failed.includes(name)),
      'passing, take them off the list',
    ).to.deep.equal([]);
  });
});
