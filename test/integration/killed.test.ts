import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeBaseRootfs } from '../kit/base-image.js';
import { type CommandOptions, type CommandResult, runCommand, TSBUILD } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { networkTraces, processesWith, tracesOf, until } from '../kit/machine-state.js';
import { needs } from '../kit/needs.js';
import { makeOrdinaryUser, type OrdinaryUser } from '../kit/ordinary-user.js';
import { tmpDir } from '../kit/tmp-dir.js';

function openToOthers(directory: string): void {
  execFileSync('chmod', ['-R', 'a+rX', directory]);
}

/** Somebody who builds, with a store. */
interface Builder {
  readonly root: string;
  readonly tsbuild: string;
  /** Runs a program with that runtime for steps. */
  run(
    command: readonly string[],
    executor: string,
    options?: Pick<CommandOptions, 'onStart'>,
  ): Promise<CommandResult>;
  remove(): Promise<void>;
}

function storeEnvironment(root: string, executor: string) {
  return { TSBUILD_ROOT: root, TSBUILD_EXECUTOR: executor, NO_COLOR: '1' };
}

function rootBuilder(): Promise<Builder> {
  const root = tmpDir();
  return Promise.resolve({
    root,
    tsbuild: TSBUILD,
    run: ([program, ...args], executor, options) =>
      runCommand(program!, args, { ...options, env: storeEnvironment(root, executor) }),
    remove: () => Promise.resolve(),
  });
}

async function ordinaryBuilder(): Promise<Builder> {
  const user: OrdinaryUser = await makeOrdinaryUser();
  const root = join(user.home, 'store');
  return {
    root,
    tsbuild: user.command,
    run: (command, executor, options) => user.run(command, storeEnvironment(root, executor), options),
    remove: () => user.remove(),
  };
}

/** Files that freeze the groups of a process's steps; none where it may not make groups. */
function freezersOf(pid: number) {
  const names = ['-name', 'freezer.state', '-o', '-name', 'cgroup.freeze'];
  const group = ['-path', `*/tsbuild-${pid}-*`];
  return execFileSync('find', ['/sys/fs/cgroup', ...group, '(', ...names, ')'], { encoding: 'utf8' })
    .split('\n')
    .filter(Boolean)
    .map((file) =>
      file.endsWith('freezer.state')
        ? { file, frozen: 'FROZEN', thawed: 'THAWED' }
        : { file, frozen: '1', thawed: '0' },
    );
}

/** User and system time of a command and its children. */
async function cpuSecondsOf({ run, tsbuild }: Builder, ...args: string[]): Promise<number> {
  const timed = ['bash', '-c', 'TIMEFORMAT="%U %S"; time "$@" > /dev/null', 'bash', tsbuild, ...args];
  const { status, stderr } = await run(timed, EXECUTORS[0]!);
  expect(status, stderr).to.equal(0);
  const [user, system] = stderr.trim().split('\n').at(-1)!.split(' ').map(Number);
  return user! + system!;
}

const BUILDERS = [
  { who: 'root', makeBuilder: rootBuilder, programs: [] },
  { who: 'an ordinary user', makeBuilder: ordinaryBuilder, programs: ['newuidmap', 'useradd'] },
];
const EXECUTORS = ['crun', 'runc', 'sandbox'];

for (const [builderNumber, { who, makeBuilder, programs }] of BUILDERS.entries())
  describe(`a build of ${who} that is ended from outside`, function () {
    this.timeout(60_000);
    let builder: Builder;

    before(async function () {
      needs(
        this,
        'root',
        { program: 'crun' },
        { program: 'runc' },
        { program: 'busybox' },
        ...programs.map((program) => ({ program })),
      );
      builder = await makeBuilder();
      const context = makeContext({
        Dockerfile: 'FROM scratch\nCOPY . /\nCMD ["/bin/sh"]\n',
        '.dockerignore': 'Dockerfile\n.dockerignore\n',
      });
      makeBaseRootfs(context);
      openToOthers(context);
      const { status, stderr } = await builder.run([builder.tsbuild, context, '-t', 'base'], 'crun');
      expect(status, stderr).to.equal(0);
    });

    after(() => builder?.remove());

    for (const [number, executor] of EXECUTORS.entries())
      describe(`with ${executor}`, () => {
        let lastPid = 0;
        const endless = `${71_000 + 10 * builderNumber + number}.${process.pid}`;

        /** Builds until the step runs, then lets `end` act on the process. */
        async function build(end: (pid: number) => void | Promise<void>): Promise<CommandResult> {
          const files = 'mkdir d; for i in $(seq 500); do echo > d/$i; done';
          const context = makeContext({
            Dockerfile: [
              'FROM base',
              'RUN mkdir /w && chown 1234 /w',
              'WORKDIR /w',
              'USER 1234',
              `RUN --mount=type=cache,target=/c (setsid sleep ${endless} &); ${files}; sleep ${endless}`,
            ].join('\n'),
          });
          openToOthers(context);
          let ending: Promise<void> | undefined;
          const result = await builder.run([builder.tsbuild, context, '--progress=plain'], executor, {
            onStart: (pid) => {
              lastPid = pid;
              ending = until(() => processesWith(`sleep ${endless}`).length >= 2).then(() => end(pid));
            },
          });
          await ending;
          return result;
        }

        async function expectNothingLeft(): Promise<void> {
          expect(processesWith(`sleep ${endless}`)).to.deep.equal([]);
          expect(tracesOf(builder.root, [lastPid])).to.deep.equal([]);
          // All networks of the machine: somebody else's build may just have been killed, too.
          await until(() => networkTraces().length === 0);
        }

        for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
          it(`by ${signal} exits 130 within a second and leaves nothing`, async () => {
            let endedAt = 0;
            const { status, stderr } = await build((pid) => {
              endedAt = performance.now();
              process.kill(pid, signal);
            });
            expect(performance.now() - endedAt).to.be.lessThan(process.env['TSBUILD_CI'] ? 2000 : 1000);
            expect(status, stderr).to.equal(130);
            await expectNothingLeft();
          });

        it('by a second Ctrl-C leaves nothing either', async () => {
          const { status } = await build((pid) => {
            process.kill(pid, 'SIGINT');
            process.kill(pid, 'SIGTERM');
          });
          expect(status).to.equal(130);
          await until(() => processesWith(`sleep ${endless}`).length === 0);
          await expectNothingLeft();
        });

        it('by kill -9 is cleaned up by the next command, whatever it is', async () => {
          const { status } = await build((pid) => void process.kill(pid, 'SIGKILL'));
          expect(status).to.equal(null);
          expect(processesWith(`sleep ${endless}`)).to.not.deep.equal([]);
          expect(tracesOf(builder.root, [lastPid])).to.not.deep.equal([]);
          const next = await builder.run([builder.tsbuild, 'images'], executor);
          expect(next.status, next.stderr).to.equal(0);
          expect(next.stdout).to.contain('base');
          await expectNothingLeft();
        });
      });

    it('by kill -9 is cleaned up by the next command, also where a process takes its time to end', async function () {
      needs(this, { program: 'runc' });
      const endless = `${71_200 + builderNumber}.${process.pid}`;
      const context = makeContext({ Dockerfile: `FROM base\nRUN sleep ${endless}\n` });
      openToOthers(context);
      let killed = 0;
      let ending: Promise<void> | undefined;
      await builder.run([builder.tsbuild, context], 'runc', {
        onStart: (pid) => {
          killed = pid;
          ending = until(() => processesWith(`sleep ${endless}`).length > 0).finally(() =>
            process.kill(pid, 'SIGKILL'),
          );
        },
      });
      await ending;
      // With control groups of version 1 a frozen process dies when it is thawed.
      const groups = freezersOf(killed);
      if (who === 'root') expect(groups).to.not.deep.equal([]);
      for (const { file, frozen } of groups) writeFileSync(file, frozen);
      const next = builder.run([builder.tsbuild, 'images'], 'runc');
      await sleep(500);
      for (const { file, thawed } of groups) if (existsSync(file)) writeFileSync(file, thawed);
      expect((await next).status).to.equal(0);
      expect(processesWith(`sleep ${endless}`)).to.deep.equal([]);
      expect(tracesOf(builder.root, [killed])).to.deep.equal([]);
    });

    it('costs the next command less than 200 ms, also after many steps with many files', async () => {
      const endless = `${71_100 + builderNumber}.${process.pid}`;
      const files = 'for i in $(seq 2000); do echo > /d/$i; done';
      const stages = [1, 2, 3, 4].map(
        (i) => `FROM base AS s${i}\nRUN mkdir /d && : ${i} && ${files} && exec sleep ${endless}\n`,
      );
      const copies = [1, 2, 3, 4].map((i) => `COPY --from=s${i} /d /d${i}\n`);
      const context = makeContext({ Dockerfile: [...stages, 'FROM base\n', ...copies].join('') });
      openToOthers(context);
      let ending: Promise<void> | undefined;
      await builder.run([builder.tsbuild, context, '--jobs=4'], 'runc', {
        onStart: (pid) => {
          const running = () => processesWith(`sleep ${endless}`).length;
          const writing = () => processesWith(`exec sleep ${endless}`).length;
          ending = until(() => running() === 4 && writing() === 0).finally(() =>
            process.kill(pid, 'SIGKILL'),
          );
        },
      });
      await ending;
      const first = await cpuSecondsOf(builder, 'images');
      expect(processesWith(`sleep ${endless}`)).to.deep.equal([]);
      const later = Math.min(await cpuSecondsOf(builder, 'images'), await cpuSecondsOf(builder, 'images'));
      expect(first - later).to.be.lessThan(0.2);
    });
  });
