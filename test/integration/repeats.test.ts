import { expect } from 'chai';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { processStamp } from '../../src/cache/process-stamp.js';
import { type CommandOptions, mustRun, PROJECT, runCommand, TSBUILD, tsbuildIn } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { needs } from '../kit/needs.js';
import { tmpDir } from '../kit/tmp-dir.js';

/** Longer than what is too young to be proven by its times. */
const SETTLED_MS = 2_100;

const FILES = {
  Dockerfile: 'FROM scratch\nARG VALUE=none\nCOPY one /one\nCOPY dir /dir\nLABEL value=$VALUE\n',
  one: 'first\n',
  'dir/two': 'second\n',
  'dir/three': 'third\n',
};

/** A context with a store of its own, and a command that builds it. */
class Site {
  readonly root = tmpDir();
  readonly context = makeContext(FILES);
  readonly archive = join(tmpDir(), 'image.tar');
  readonly #starts = join(tmpDir(), 'starts');
  readonly #env = {
    TSBUILD_ROOT: this.root,
    NO_COLOR: '1',
    NODE_OPTIONS: `--require=${join(PROJECT, 'test/fixtures/note-start.cjs')}`,
    STARTS_FILE: this.#starts,
  };

  constructor() {
    symlinkSync('two', join(this.context, 'dir/link'));
  }

  path(name: string): string {
    return join(this.context, name);
  }

  /** What it said, and whether the whole program was started for it. */
  async run(args: readonly string[], options: CommandOptions = {}, command = TSBUILD) {
    writeFileSync(this.#starts, '');
    const env = { ...this.#env, ...options.env };
    const { status, stdout, stderr } = await runCommand(command, args, { ...options, env });
    return { status, stdout, stderr, started: readFileSync(this.#starts, 'utf8') !== '' };
  }

  build(...more: string[]) {
    return this.run([this.context, '-t', 'app', '-q', ...more]);
  }

  blobs(): string[] {
    const directory = join(this.root, 'content/blobs/sha256');
    return readdirSync(directory).map((name) => join(directory, name));
  }
}

interface Change {
  readonly what: string;
  readonly change: (site: Site) => void | Promise<unknown>;
  /** Flags of every build of the case. */
  readonly flags?: (site: Site) => string[];
  readonly envAfter?: NodeJS.ProcessEnv;
  /** A build without cache gives another digest. */
  readonly keepsImage?: boolean;
}

const CHANGES: readonly Change[] = [
  {
    what: 'a file has other bytes of the same number',
    change: (site) => writeFileSync(site.path('one'), 'First\n'),
  },
  {
    what: 'a file has another time',
    change: (site) => utimesSync(site.path('one'), 1, 1),
    keepsImage: true,
  },
  { what: 'a file has another mode', change: (site) => chmodSync(site.path('dir/two'), 0o755) },
  {
    what: 'a directory has one file more',
    change: (site) => writeFileSync(site.path('dir/four'), 'fourth\n'),
  },
  { what: 'a directory has one file less', change: (site) => rmSync(site.path('dir/three')) },
  {
    what: 'a symbolic link points elsewhere',
    change: (site) => {
      rmSync(site.path('dir/link'));
      symlinkSync('one', site.path('dir/link'));
    },
  },
  {
    what: 'another directory has the place of a directory',
    change: (site) => {
      renameSync(site.path('dir'), join(tmpDir(), 'old'));
      mkdirSync(site.path('dir'));
      writeFileSync(site.path('dir/two'), 'Second\n');
    },
  },
  {
    what: 'the Dockerfile is another one',
    change: (site) => writeFileSync(site.path('Dockerfile'), FILES.Dockerfile.replace('none', 'some')),
  },
  {
    what: 'an ignore file is there',
    change: (site) => writeFileSync(site.path('.dockerignore'), 'dir/two\n'),
  },
  {
    what: 'an ignore file of the Dockerfile is there',
    change: (site) => writeFileSync(site.path('Dockerfile.dockerignore'), 'dir/two\n'),
  },
  {
    what: 'a build argument has another value in the environment',
    change: () => undefined,
    flags: () => ['--build-arg', 'VALUE'],
    envAfter: { VALUE: 'other' },
  },
  {
    what: 'SOURCE_DATE_EPOCH is set',
    change: () => undefined,
    envAfter: { SOURCE_DATE_EPOCH: '7' },
  },
  { what: 'the image lost its name', change: (site) => site.run(['rmi', 'app']) },
  {
    what: 'a blob is gone',
    change: (site) => {
      const tars = site
        .blobs()
        .filter((path) => readFileSync(path).subarray(257, 262).toString() === 'ustar');
      rmSync(tars[0]!);
    },
  },
  {
    what: 'the archive is gone',
    flags: (site) => ['-o', `type=docker,dest=${site.archive}`],
    change: (site) => rmSync(site.archive),
  },
  {
    what: 'the archive is another file',
    flags: (site) => ['-o', `type=docker,dest=${site.archive}`],
    change: (site) => writeFileSync(site.archive, 'mine'),
  },
  {
    what: 'another process uses the store',
    change: (site) => writeFileSync(join(site.root, 'leases', `${processStamp()}-0`), ''),
  },
  {
    what: 'a killed process left something in the store',
    change: (site) => mkdirSync(join(site.root, 'work', '999999-1-1-x')),
  },
  {
    what: 'what is known of the end is damaged',
    change: (site) => {
      const [name] = readdirSync(join(site.root, 'repeats'));
      const path = join(site.root, 'repeats', name!);
      const data = readFileSync(path);
      const at = data.indexOf('sha256:') + 20;
      data[at] = data[at]! ^ 1;
      writeFileSync(path, data);
    },
  },
];

describe('a command that comes again', function () {
  this.timeout(60_000);
  const sites = new Map(CHANGES.map((change) => [change.what, new Site()]));
  const site = new Site();
  const imageId = /^sha256:[0-9a-f]{64}\n$/;

  before(async function () {
    needs(this, 'builder');
    for (const { what, flags } of CHANGES) {
      const own = sites.get(what)!;
      expect((await own.build(...(flags?.(own) ?? []))).stdout).to.match(imageId);
    }
    await site.build();
    await sleep(SETTLED_MS);
  });

  it('says the same again without the program, and marks what it used', async () => {
    const first = await site.build();
    expect(first).to.deep.include({ status: 0, stderr: '', started: true });
    const records = join(site.root, 'records');
    const record = readdirSync(records, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .find((path) => Date.now() - statSync(path).mtimeMs < 1_000)!;
    utimesSync(record, 1, 1);
    expect(await site.build()).to.deep.equal({ ...first, started: false });
    expect(Date.now() - statSync(record).mtimeMs).to.be.lessThan(10_000);
    expect(readdirSync(join(site.root, 'leases'))).to.deep.equal([]);
  });

  it('shows the same progress', async () => {
    const args = [site.context, '-t', 'app', '--progress=plain'];
    const first = await site.run(args);
    expect(first.stderr).to.contain('CACHED');
    expect(await site.run(args)).to.deep.equal({ ...first, started: false });
  });

  it('is another one in another directory, and with other arguments', async () => {
    const args = ['.', '-t', 'app', '-q'];
    const inContext = { cwd: site.context };
    await site.run(args, inContext);
    expect((await site.run(args, inContext)).started).to.equal(false);
    expect((await site.run(args, { cwd: site.path('dir') })).status).to.equal(2);
    expect((await site.run([...args, '--label', 'a=b'], inContext)).started).to.equal(true);
  });

  for (const { what, change, flags, envAfter, keepsImage } of CHANGES)
    it(`runs where ${what}`, async () => {
      const own = sites.get(what)!;
      const args = [own.context, '-t', 'app', '-q', ...(flags?.(own) ?? [])];
      const before = await own.run(args);
      expect((await own.run(args)).started).to.equal(false);
      await change(own);
      const after = await own.run(args, { env: envAfter ?? {} });
      expect(after).to.deep.include({ status: 0, started: true });
      const right = keepsImage ? before : await tsbuildIn(tmpDir()).must(args, { env: envAfter ?? {} });
      expect(after.stdout).to.equal(right.stdout);
    });

  it('does not run where the archive is that of before, whatever else comes and goes beside it', async () => {
    const own = new Site();
    const args = ['-o', `type=docker,dest=${own.archive}`];
    await own.build(...args);
    await sleep(SETTLED_MS);
    const before = await own.build(...args);
    writeFileSync(`${own.archive}.other`, '');
    expect(await own.build(...args)).to.deep.equal({ ...before, started: false });
  });

  it('runs where files are so young that a change might not show', async () => {
    const own = new Site();
    const first = await own.build();
    for (let i = 0; i < 3; i++) expect(await own.build()).to.deep.equal({ ...first, started: true });
  });

  it('runs where one of very many files is another, which are looked at without Node', async () => {
    const own = new Site();
    for (let i = 0; i < 5_000; i++) writeFileSync(own.path(`dir/many${i}`), String(i));
    await own.build();
    await sleep(SETTLED_MS);
    const before = await own.build();
    expect(await own.build()).to.deep.equal({ ...before, started: false });
    for (const name of ['dir/many4000', 'dir/many7']) {
      const text = readFileSync(own.path(name), 'utf8');
      writeFileSync(own.path(name), text.replaceAll(/\d/g, 'x'));
      const after = await own.build();
      expect(after.started, name).to.equal(true);
      expect(after.stdout).to.equal((await tsbuildIn(tmpDir()).must([own.context, '-q'])).stdout);
      await sleep(SETTLED_MS);
      await own.build();
      expect((await own.build()).started).to.equal(false);
    }
  });

  it('runs where it wrote a file, was given input, or says when something happened', async () => {
    const idFile = join(tmpDir(), 'id');
    const input = FILES.Dockerfile;
    for (const [args, options] of [
      [['-q', '--iidfile', idFile], {}],
      [['-q', '-f', '-'], { input }],
      [['--progress=rawjson'], {}],
      [['--explain'], {}],
      [['-q', '--no-cache'], {}],
    ] as const) {
      await site.run([site.context, '-t', 'app', ...args], options);
      rmSync(idFile, { force: true });
      const again = await site.run([site.context, '-t', 'app', ...args], options);
      expect(again, args.join(' ')).to.deep.include({ status: 0, started: true });
      if (args[1] === '--iidfile') expect(existsSync(idFile)).to.equal(true);
    }
  });

  it('is the last build for why, and is kept before those that do not come again', async () => {
    const [own, other] = [
      new Site(),
      makeContext({ Dockerfile: 'FROM scratch\nCOPY other /\n', other: 'x' }),
    ];
    const second = ['-q', other];
    await own.build();
    await own.run(second);
    await sleep(SETTLED_MS);
    for (let i = 0; i < 2; i++) await own.build();
    for (let i = 0; i < 2; i++) await own.run(second);
    expect((await own.run(['why'])).stdout).to.contain(`build of ${other} `);
    const repeats = join(own.root, 'repeats');
    for (const name of readdirSync(repeats)) utimesSync(join(repeats, name), 1, 1);
    expect((await own.build()).started).to.equal(false);
    expect((await own.run(['why'])).stdout).to.contain(`build of ${own.context} `);
    const times = readdirSync(repeats).map((name) => statSync(join(repeats, name)).mtimeMs);
    expect(times.filter((timeMs) => Date.now() - timeMs < 10_000)).to.have.length(1);
  });

  it('comes again where tsbuild is an installed package', async () => {
    const own = new Site();
    const modules = join(tmpDir(), 'node_modules');
    mkdirSync(join(modules, 'tsbuild'), { recursive: true });
    for (const name of ['bin', 'dist', 'package.json'])
      cpSync(join(PROJECT, name), join(modules, 'tsbuild', name), { recursive: true });
    for (const name of readdirSync(join(PROJECT, 'node_modules')).filter((entry) => !entry.startsWith('.')))
      symlinkSync(join(PROJECT, 'node_modules', name), join(modules, name));
    const command = join(modules, 'tsbuild/bin/tsbuild');
    const build = () => own.run([own.context, '-t', 'app', '-q'], {}, command);
    const first = await build();
    expect(first.status).to.equal(0);
    await sleep(SETTLED_MS);
    await build();
    expect(await build()).to.deep.equal({ ...first, started: false });
  });

  it('is another one on a terminal, whatever its size', async () => {
    const own = new Site();
    const args = [own.context, '-t', 'app'];
    await own.run(args);
    await sleep(SETTLED_MS);
    const onTerminal = `stty cols 0 rows 0; exec ${[TSBUILD, ...args].map((arg) => `'${arg}'`).join(' ')} 2>&1`;
    const environment = { TSBUILD_ROOT: own.root, TERM: 'xterm', CI: '' };
    for (let i = 0; i < 3; i++) {
      const shown = await mustRun('script', ['-qec', onTerminal, '/dev/null'], { env: environment });
      expect(shown).to.contain('FINISHED');
      expect((await own.run(args)).stderr)
        .to.match(/^#1 /)
        .and.not.contain('FINISHED');
    }
  });

  it('gives an archive on standard output each time', async () => {
    const args = [site.context, '-o', '-'];
    const sizes: number[] = [];
    for (let i = 0; i < 3; i++) sizes.push((await site.run(args)).stdout.length);
    expect(sizes[0]).to.be.greaterThan(1_000);
    expect(new Set(sizes)).to.have.length(1);
  });

  it('does not stop any command where nothing can be known or kept', async () => {
    const own = new Site();
    const version = ['-c', 'mkdir gone && cd gone && rmdir ../gone && exec "$0" version', TSBUILD];
    expect((await runCommand('sh', version, { cwd: tmpDir() })).status).to.equal(0);
    await own.build();
    await sleep(SETTLED_MS);
    rmSync(join(own.root, 'repeats'), { recursive: true });
    writeFileSync(join(own.root, 'repeats'), 'in the way');
    for (let i = 0; i < 2; i++) expect(await own.build()).to.deep.include({ status: 0, stderr: '' });
  });

  it('keeps no password, and forgets old command lines', async () => {
    const own = new Site();
    await sleep(SETTLED_MS);
    const env = { VALUE: 'opensesame', HTTP_PROXY: 'http://user:hunter22@127.0.0.1:9/' };
    const build = (i: number) =>
      own.run([own.context, '-q', '--build-arg', 'VALUE', '-t', `app${i}`], { env });
    for (let i = 0; i < 2; i++) await build(0);
    await sleep(SETTLED_MS);
    await build(0);
    expect((await build(0)).started).to.equal(false);
    const repeats = join(own.root, 'repeats');
    const kept = readdirSync(repeats).map((name) => readFileSync(join(repeats, name), 'latin1'));
    expect(kept).to.have.length(1);
    expect(kept.join()).to.not.match(/opensesame|hunter22/);
    for (let i = 0; i < 70; i++) writeFileSync(join(repeats, `old${i}`), '');
    await own.run(['rmi', 'app0']);
    await build(0);
    await sleep(SETTLED_MS);
    await build(0);
    expect(readdirSync(repeats).length).to.be.at.most(65);
  });
});
