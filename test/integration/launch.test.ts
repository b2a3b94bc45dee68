import { expect } from 'chai';
import {
  cpSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type CommandResult, PROJECT, runCommand, TSBUILD } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { needs } from '../kit/needs.js';
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

  /** With what another command says as standard input. */
  async mustAfter(command: readonly string[], ...args: readonly string[]): Promise<void> {
    const program = [join(this.#directory, 'bin/tsbuild'), ...args];
    const script = '"$1" "$2" "$3" | "$4" "$5"';
    const result = await runCommand('sh', ['-c', script, 'sh', ...command, ...program], {
      env: { TSBUILD_ROOT: this.#root },
    });
    expect(result.status, result.stderr).to.equal(0);
  }

  /** With a directory of the program that cannot be written. Gives what it said of errors. */
  async asReadOnly(caches: string, ...args: readonly string[]): Promise<string> {
    const dist = join(this.#directory, 'dist');
    const script = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"';
    const program = join(this.#directory, 'bin/tsbuild');
    const { status, stderr } = await runCommand(
      'unshare',
      ['--mount', 'sh', '-c', script, dist, program, ...args],
      { env: { TSBUILD_ROOT: this.#root, XDG_CACHE_HOME: caches } },
    );
    expect(status, stderr).to.equal(0);
    return stderr;
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

  it('is written anew after a run that took long, in which V8 drops the code of what began it', async () => {
    const installation = new Installation();
    const isAged = () =>
      /\baged\b/.test(readFileSync(installation.codeFile).subarray(-300).toString('latin1'));
    const start = ['-e', 'setTimeout(() => console.log("FROM scratch\\nLABEL a=b"), 2200)'];

    await installation.mustAfter(['node', ...start], '-');
    const ofLong = isAged();
    await installation.must(...build);
    const ofShort = readFileSync(installation.codeFile);
    await installation.mustAfter(['node', ...start], '-');

    expect(ofLong).to.equal(true);
    expect(isAged()).to.equal(false);
    expect(readFileSync(installation.codeFile).equals(ofShort)).to.equal(true);
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

  it('is made anew where a part of it was lost', async () => {
    const installation = new Installation();
    await installation.must('images');
    const data = readFileSync(installation.codeFile);
    writeFileSync(
      installation.codeFile,
      Buffer.from(data).fill(0, data.length >> 1, (data.length >> 1) + 4096),
    );

    await installation.must('images');

    expect(readFileSync(installation.codeFile).length).to.be.greaterThan(data.length * 0.9);
    expect(
      readFileSync(installation.codeFile)
        .subarray(data.length >> 1)
        .every((byte) => byte === 0),
    ).to.equal(false);
  });

  it('is found by a user who may not write beside the program, and then stays', async function () {
    needs(this, 'root');
    const installation = new Installation();
    await installation.must('images');
    const own = join(tmpDir(), 'cache');
    const ofUser = () => {
      const [name] = readdirSync(join(own, 'tsbuild'));
      return statSync(join(own, 'tsbuild', name!), { bigint: true }).ino;
    };
    const before = readFileSync(installation.codeFile);
    await installation.asReadOnly(own, ...build);
    const written = ofUser();
    await installation.asReadOnly(own, ...build, '--no-cache');

    expect(ofUser()).to.equal(written);
    expect(readFileSync(installation.codeFile).equals(before)).to.equal(true);
  });

  it('is done without where no place can be written', async function () {
    needs(this, 'root');
    const installation = new Installation();
    const noDirectory = join(tmpDir(), 'file');
    writeFileSync(noDirectory, '');
    expect(await installation.asReadOnly(noDirectory, 'images')).to.equal('');
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
