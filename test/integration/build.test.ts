import { expect } from 'chai';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeBaseRootfs } from '../kit/base-image.js';
import { mustRun, TSBUILD, tsbuildIn } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { signalOnce } from '../kit/machine-state.js';
import { needs } from '../kit/needs.js';
import { tmpDir } from '../kit/tmp-dir.js';

const root = tmpDir();
const tsbuild = tsbuildIn(root);

/** Names of the steps in plain progress that end in `mark`. */
function stepsMarked(stderr: string, mark: 'CACHED' | 'DONE'): string[] {
  const names = new Map<string, string>();
  const marked: string[] = [];
  for (const line of stderr.split('\n')) {
    const match = /^#(\d+) (.*)$/.exec(line);
    if (!match) continue;
    const [, id, rest] = match as unknown as [string, string, string];
    if (rest.startsWith('[')) names.set(id, rest);
    if (rest === 'CACHED' && mark === 'CACHED') marked.push(names.get(id)!);
    if (rest.startsWith('DONE') && mark === 'DONE' && names.has(id)) marked.push(names.get(id)!);
  }
  return marked;
}

async function imageId(name: string): Promise<string> {
  const { stdout } = await tsbuild.must(['inspect', name]);
  return (JSON.parse(stdout) as { Id: string }[])[0]!.Id;
}

describe('building an image', function () {
  this.timeout(120_000);

  before(async function () {
    needs(this, 'builder', { program: 'crun' }, { program: 'busybox' });
    const context = makeContext({
      Dockerfile: 'FROM scratch\nCOPY . /\nCMD ["/bin/sh"]\n',
      '.dockerignore': 'Dockerfile\n.dockerignore\n',
    });
    makeBaseRootfs(context);
    await tsbuild.must([context, '-t', 'base']);
  });

  describe('a build that is repeated', () => {
    const twelve = [
      'FROM base',
      'RUN echo 1 > /1',
      'COPY a.txt /a/',
      'RUN cat /a/a.txt > /3',
      'WORKDIR /w',
      'COPY b.txt .',
      'RUN echo 6 > /6',
      'ENV X=1',
      'RUN echo $X > /8',
      'ADD c.txt /c/',
      'RUN ls /c > /10',
      'COPY --chmod=600 a.txt /last',
      'RUN echo 12 > /12',
      'CMD ["cat", "/12"]',
    ].join('\n');
    const context = makeContext({ Dockerfile: twelve, 'a.txt': 'a\n', 'b.txt': 'b\n', 'c.txt': 'c\n' });

    it('finds every step cached, gives the same digest, starts no process and mounts nothing', async function () {
      // strace keeps set-uid programs such as newuidmap from what they are for.
      needs(this, 'root', { program: 'strace' });
      await tsbuild.must([context, '-t', 'twelve', '--progress=plain']);
      const first = await imageId('twelve');
      const trace = join(tmpDir(), 'trace');
      const calls = 'execve,mount,fsopen,fsmount,move_mount,open_tree,unshare,clone,clone3,fork,vfork';
      await mustRun(
        'strace',
        [
          '-f',
          '-qq',
          '-o',
          trace,
          '-e',
          `trace=${calls}`,
          TSBUILD,
          context,
          '-t',
          'twelve',
          '--progress=plain',
        ],
        {
          env: { TSBUILD_ROOT: root },
        },
      );
      const lines = readFileSync(trace, 'utf8').split('\n');
      expect(lines.filter((line) => /mount\(|fsopen\(|open_tree\(|unshare\(/.test(line))).to.deep.equal([]);
      const programs = lines
        .flatMap((line) => /execve\("([^"]+)".*= 0$/.exec(line)?.[1] ?? [])
        .map((path) => path.split('/').at(-1));
      expect(
        programs.filter((program) => !['tsbuild', 'sh', 'dash', 'readlink', 'node'].includes(program!)),
      ).to.deep.equal([]);
      const again = await tsbuild.must([context, '-t', 'twelve', '--progress=plain']);
      expect(stepsMarked(again.stderr, 'CACHED')).to.have.length(12);
      expect(stepsMarked(again.stderr, 'DONE')).to.deep.equal([]);
      expect(await imageId('twelve')).to.equal(first);
    });

    it('runs again exactly the steps that depend on a changed file', async () => {
      await tsbuild.must([context, '-t', 'twelve', '--progress=plain']);
      writeFileSync(join(context, 'c.txt'), 'changed\n');
      const { stderr } = await tsbuild.must([context, '-t', 'twelve', '--progress=plain']);
      const ran = stepsMarked(stderr, 'DONE').filter((name) => !name.includes('[internal]'));
      // The listing of /c stays the same, but its step stands on the changed file.
      expect(ran.map((name) => name.replace(/^\[[^\]]*\] /, ''))).to.deep.equal([
        'ADD c.txt /c/',
        'RUN ls /c > /10',
        'COPY --chmod=600 a.txt /last',
        'RUN echo 12 > /12',
      ]);
    });

    it('runs everything with --no-cache and keeps the content', async () => {
      const { stderr } = await tsbuild.must([context, '-t', 'twelve', '--progress=plain', '--no-cache']);
      expect(stepsMarked(stderr, 'CACHED').filter((name) => !name.includes('FROM'))).to.deep.equal([]);
    });

    it('finds a step cached below a touched file and below a rerun that wrote the same', async () => {
      const early = makeContext({
        Dockerfile: 'FROM base\nCOPY in /in\nRUN wc -c < /in > /size\nCOPY --from=base /bin/busybox /b\n',
        in: 'abc\n',
      });
      writeFileSync(
        join(early, 'Dockerfile'),
        'FROM base AS one\nCOPY in /in\nRUN wc -c < /in > /size\nFROM base\nCOPY --from=one /size /size\nRUN cat /size\n',
      );
      await tsbuild.must([early, '--progress=plain']);
      writeFileSync(join(early, 'in'), 'xyz\n');
      const { stderr } = await tsbuild.must([early, '--progress=plain']);
      const ran = stepsMarked(stderr, 'DONE').filter((name) => !name.includes('[internal]'));
      expect(ran.map((name) => name.replace(/^\[[^\]]*\] /, ''))).to.deep.equal([
        'COPY in /in',
        'RUN wc -c < /in > /size',
      ]);
    });

    it('rebuilds only the stages that --no-cache-filter names', async () => {
      const stages = makeContext({
        Dockerfile:
          'FROM base AS one\nRUN echo 1 > /1\nFROM base AS two\nRUN echo 2 > /2\nFROM base\nCOPY --from=one /1 /\nCOPY --from=two /2 /\n',
      });
      await tsbuild.must([stages, '--progress=plain']);
      const { stderr } = await tsbuild.must([stages, '--progress=plain', '--no-cache-filter', 'one']);
      expect(stepsMarked(stderr, 'DONE').filter((name) => name.includes('RUN'))).to.deep.equal([
        '[one 2/2] RUN echo 1 > /1',
      ]);
    });
  });

  it('runs independent stages at the same time', async () => {
    const mount = '--mount=type=cache,target=/meet';
    const meet = (own: string, other: string) =>
      `RUN ${mount} touch /meet/${own}; for i in $(seq 300); do [ -e /meet/${other} ] && exit 0; sleep 0.1; done; exit 1`;
    const context = makeContext({
      Dockerfile: `FROM base AS a\n${meet('a', 'b')}\nFROM base AS b\n${meet('b', 'a')}\nFROM base\nCOPY --from=a /bin/sh /a\nCOPY --from=b /bin/sh /b\n`,
    });
    await tsbuild.must([context]);
  });

  describe('a step that fails', () => {
    const context = makeContext({
      Dockerfile:
        'FROM base\nRUN echo fine > /fine\nRUN echo to stdout; echo to stderr >&2; exit 7\nRUN echo never\n',
    });

    it('prints its output, the excerpt, the exit code, and exits 1', async () => {
      const result = await tsbuild.run([context, '--progress=plain']);
      expect(result.status).to.equal(1);
      expect(result.stderr)
        .to.match(/to stdout/)
        .and.match(/to stderr/);
      expect(result.stderr).to.match(/>>>.*RUN echo to stdout/);
      expect(result.stderr).to.contain('exit code: 7');
    });

    it('leaves the steps before it cached', async () => {
      await tsbuild.run([context, '--progress=plain']);
      const again = await tsbuild.run([context, '--progress=plain']);
      expect(
        stepsMarked(again.stderr, 'CACHED').some((name) => name.endsWith('RUN echo fine > /fine')),
      ).to.equal(true);
    });

    it('leaves nothing behind in the work directory', async () => {
      await tsbuild.run([context]);
      expect(existsSync(join(root, 'work')) ? readdirSync(join(root, 'work')) : []).to.deep.equal([]);
    });
  });

  describe('an interrupted build', () => {
    it('ends within a second of Ctrl-C with status 130 and leaves no process, mount or file', async () => {
      const context = makeContext({ Dockerfile: 'FROM base\nRUN echo started; sleep 4321\n' });
      const { onStart, sentMs } = signalOnce('SIGINT', () => processNamed('sleep\0' + '4321'));
      const result = await tsbuild.run([context, '--progress=plain'], { onStart });
      expect(result.status).to.equal(130);
      expect(performance.now() - sentMs()).to.be.lessThan(1000);
      expect(processNamed('sleep\0' + '4321')).to.equal(false);
      expect(readdirSync(join(root, 'work'))).to.deep.equal([]);
    });

    it('that was killed leaves a store that the next build uses', async () => {
      const context = makeContext({ Dockerfile: 'FROM base\nRUN echo one > /one\nRUN sleep 4322\n' });
      await tsbuild.run(
        [context],
        signalOnce('SIGKILL', () => processNamed('sleep\0' + '4322')),
      );
      for (const pid of pidsNamed('sleep\0' + '4322')) process.kill(pid, 'SIGKILL');
      writeFileSync(join(context, 'Dockerfile'), 'FROM base\nRUN echo one > /one\nRUN echo two > /two\n');
      const { stderr } = await tsbuild.must([context, '--progress=plain']);
      expect(stepsMarked(stderr, 'CACHED').some((name) => name.endsWith('RUN echo one > /one'))).to.equal(
        true,
      );
      expect(readdirSync(join(root, 'work'))).to.deep.equal([]);
    });
  });
});

function pidsNamed(commandLine: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith(commandLine);
      } catch {
        return false;
      }
    })
    .map(Number);
}

function processNamed(commandLine: string): boolean {
  return pidsNamed(commandLine).length > 0;
}

describe('several builds on one store', function () {
  this.timeout(60_000);
  const shared = tsbuildIn(tmpDir());

  before(async function () {
    needs(this, 'builder', { program: 'crun' }, { program: 'busybox' });
    const context = makeContext({
      Dockerfile: 'FROM scratch\nCOPY . /\nCMD ["/bin/sh"]\n',
      '.dockerignore': 'Dockerfile\n.dockerignore\n',
    });
    makeBaseRootfs(context);
    await shared.must([context, '-t', 'base']);
  });

  it('run an equal step once and all get its result', async () => {
    const context = makeContext({
      Dockerfile: 'FROM base\nRUN date +%s%N > /when; sleep 1\nRUN cat /when\n',
    });
    const builds = await Promise.all(
      Array.from({ length: 5 }, (_, i) => shared.must([context, '-t', `same${i}`, '--progress=plain'])),
    );
    const ids = new Set<string>();
    for (let i = 0; i < 5; i++) {
      const { stdout } = await shared.must(['inspect', `same${i}`]);
      ids.add((JSON.parse(stdout) as { Id: string }[])[0]!.Id);
    }
    expect(ids.size).to.equal(1);
    expect(
      builds.filter(({ stderr }) => stepsMarked(stderr, 'DONE').some((name) => name.includes('date'))).length,
    ).to.equal(1);
    expect(
      builds.some(({ stderr }) => /waiting for process \d+, which runs the same step/.test(stderr)),
    ).to.equal(true);
  });

  it('that differ all succeed at the same time', async () => {
    const builds = Array.from({ length: 6 }, (_, i) =>
      shared.must([
        makeContext({ Dockerfile: `FROM base\nRUN echo ${i} > /n\nCOPY f /f\n`, f: `${i}\n` }),
        '-t',
        `other${i}`,
      ]),
    );
    await Promise.all(builds);
    const { stdout } = await shared.must(['images', '--format', 'json']);
    expect(stdout.split('\n').filter((line) => line.includes('/other'))).to.have.length(6);
  });
});
