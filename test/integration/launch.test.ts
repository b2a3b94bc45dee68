import { expect } from 'chai';
import { cpSync, readdirSync, readFileSync, statSync, symlinkSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { type CommandResult, PROJECT, runCommand, TSBUILD } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { tmpDir } from '../kit/tmp-dir.js';

/** An installation that has not run yet, with a store of its own. */
class Installation {
  readonly #directory = tmpDir();
  readonly #root = tmpDir();

  constructor() {
    for (const path of ['bin', 'package.json', 'dist/cli.cjs', 'dist/repeat.cjs'])
      cpSync(join(PROJECT, path), join(this.#directory, path), { recursive: true, preserveTimestamps: true });
    symlinkSync(join(PROJECT, 'node_modules'), join(this.#directory, 'node_modules'));
  }

  run(...args: readonly string[]): Promise<CommandResult> {
    return runCommand(join(this.#directory, 'bin/tsbuild'), args, { env: { TSBUILD_ROOT: this.#root } });
  }

  async must(...args: readonly string[]): Promise<CommandResult> {
    const result = await this.run(...args);
    expect(result.status, result.stderr).to.equal(0);
    return result;
  }

  /** The one file with V8's compiled code. */
  get codeFile(): string {
    const dist = join(this.#directory, 'dist');
    const names = readdirSync(dist).filter((name) => name.endsWith('.cache'));
    expect(names).to.have.length(1);
    return join(dist, names[0]!);
  }
}

describe('the compiled code that is kept of a run', function () {
  this.timeout(30_000);

  const build = [makeContext({ Dockerfile: 'FROM scratch\nCOPY Dockerfile /\n' }), '-t', 'app'];

  it('grows with the first run of another command, and stays when nothing new was used', async () => {
    const installation = new Installation();
    await installation.must('images');
    const ofImages = statSync(installation.codeFile).size;

    await installation.must(...build);
    const ofBuild = readFileSync(installation.codeFile);
    await installation.must('images');
    await installation.must(...build, '--no-cache');

    expect(ofBuild.length).to.be.greaterThan(ofImages * 1.2);
    expect(readFileSync(installation.codeFile).equals(ofBuild)).to.equal(true);
  });

  it('is made anew where its file is damaged', async () => {
    const installation = new Installation();
    await installation.must('images');
    const whole = statSync(installation.codeFile).size;

    for (const size of [0, 3, 100, whole - 1]) {
      truncateSync(installation.codeFile, size);
      expect((await installation.must('images')).stdout).to.match(/^REPOSITORY/);
      expect(statSync(installation.codeFile).size).to.be.greaterThan(whole / 2);
    }
  });

  it('does not grow with a command that fails', async () => {
    const installation = new Installation();
    await installation.must('images');
    const before = readFileSync(installation.codeFile);

    const { status } = await installation.run('nothere');

    expect(status).not.to.equal(0);
    expect(readFileSync(installation.codeFile).equals(before)).to.equal(true);
  });
});

describe('the end of a process', function () {
  this.timeout(30_000);

  it('comes after all of a long output was taken by a slow reader', async () => {
    const lines = Array.from({ length: 500 }, (_, i) => `COPY Dockerfile /${i}`);
    const context = makeContext({ Dockerfile: ['FROM scratch', ...lines, ''].join('\n') });
    const slowly = '"$0" "$1" --call convertllb | { sleep 1; cat; }';

    const { stdout } = await runCommand('sh', ['-c', slowly, TSBUILD, context], {
      env: { TSBUILD_ROOT: tmpDir() },
    });

    expect(stdout.length).to.be.greaterThan(200_000);
    expect(() => JSON.parse(stdout) as unknown).not.to.throw();
  });
});
