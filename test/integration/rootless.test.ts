import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, cpSync } from 'node:fs';
import { join } from 'node:path';
import { setXattr } from '../../src/worker/sys/syscalls.js';
import { makeBaseRootfs } from '../kit/base-image.js';
import { PROJECT, runCommand } from '../kit/cli.js';
import { type ContextEntry, makeContext } from '../kit/context.js';
import { findProgram, needs } from '../kit/needs.js';
import { makeOrdinaryUser, nobodyUser, type OrdinaryUser } from '../kit/ordinary-user.js';

/** A context that everybody may read. */
function openContext(entries: Readonly<Record<string, ContextEntry>>): string {
  const context = makeContext(entries);
  chmodSync(context, 0o755);
  return context;
}

function baseContext(owner: string): string {
  const context = openContext({
    Dockerfile: 'FROM scratch\nCOPY . /\nCMD ["/bin/sh"]\n',
    '.dockerignore': 'Dockerfile\n.dockerignore\n',
  });
  makeBaseRootfs(context);
  execFileSync('chown', ['-R', owner, context]);
  return context;
}

describe('an ordinary user with a range of subordinate ids', function () {
  this.timeout(120_000);
  let user: OrdinaryUser | undefined;
  const tsbuild = (...args: string[]) => user!.run([user!.command, ...args]);
  const must = async (...args: string[]) => {
    const result = await tsbuild(...args);
    expect(result.status, result.stderr).to.equal(0);
    return result;
  };

  before(async function () {
    needs(this, 'root', ...['newuidmap', 'crun', 'busybox', 'useradd'].map((program) => ({ program })));
    user = await makeOrdinaryUser();
    await must(baseContext(user.name), '-t', 'base');
  });

  after(() => user?.remove());

  it('builds the hello example and runs it', async () => {
    const hello = join(user!.home, 'hello');
    cpSync(join(PROJECT, 'examples/hello'), hello, { recursive: true });
    await must('tag', 'base', 'alpine');
    await must(hello, '-t', 'test');
    expect((await must('run', 'test')).stdout).to.equal('Hallo\n');
  });

  it('gives files other owners', async () => {
    const context = openContext({
      Dockerfile:
        'FROM base\nCOPY --chown=1000:2000 f /f\nRUN chown 7:8 /bin/sh -h && touch /g && chown 33:44 /g\nCMD ["/bin/busybox", "stat", "-c", "%u:%g", "/f", "/g"]\n',
      f: 'f\n',
    });
    await must(context, '-t', 'owners');
    expect((await must('run', 'owners')).stdout).to.equal('1000:2000\n33:44\n');
  });

  it('makes programs that run as their owner', async function () {
    needs(this, { program: 'gcc' });
    const context = openContext({
      'main.c':
        '#include <stdio.h>\n#include <unistd.h>\nint main(void) { return !printf("%d\\n", geteuid()); }\n',
      Dockerfile:
        'FROM base\nCOPY print-user /bin/\nRUN cp /bin/print-user /bin/root && chmod 4755 /bin/root && cp /bin/print-user /bin/five && chown 5 /bin/five && chmod u+s /bin/five\nUSER app\nCMD ["sh", "-c", "print-user; root; five"]\n',
    });
    execFileSync('gcc', ['-static', '-o', join(context, 'print-user'), join(context, 'main.c')]);
    await must(context, '-t', 'setuid');
    expect((await must('run', 'setuid')).stdout).to.equal('1000\n0\n5\n');
  });

  it('runs steps on an image of 130 layers', async () => {
    const copies = Array.from({ length: 130 }, (_, i) => `COPY f /d/${i}\n`).join('');
    const context = openContext({
      Dockerfile: `FROM base\n${copies}RUN rm /d/1 && ls /d | wc -l > /count\nCMD ["cat", "/count"]\n`,
      f: 'f\n',
    });
    await must(context, '-t', 'deep');
    expect((await must('run', 'deep')).stdout).to.equal('129\n');
  });

  it('has cache mounts that belong to other users', async () => {
    const mount = '--mount=type=cache,target=/c,uid=1000,gid=1000,mode=0700';
    const context = openContext({
      Dockerfile: `FROM base\nARG N\nUSER app\nRUN ${mount} echo $N >> /c/all && cat /c/all > /tmp/seen\nCMD ["cat", "/tmp/seen"]\n`,
    });
    for (const n of ['1', '2']) await must(context, '-t', 'cached', '--build-arg', `N=${n}`);
    expect((await must('run', 'cached')).stdout).to.equal('1\n2\n');
  });

  /** As where an archive or a layer brought the program without its set-uid bit. */
  function runWithNewuidmap(copy: string, ...args: string[]) {
    const script = 'mount --bind "$0" "$1" && shift && exec "$@"';
    const command = user!.commandLine([user!.command, ...args]);
    return runCommand('unshare', [
      '--mount',
      'sh',
      '-c',
      script,
      copy,
      findProgram('newuidmap')!,
      ...command,
    ]);
  }

  for (const executor of ['crun', 'runc', 'sandbox'])
    it(`runs programs with ${executor} whose output goes into a pipe of somebody else`, async function () {
      needs(this, { program: executor === 'sandbox' ? 'unshare' : executor });
      const command = user!.commandLine([user!.command, 'run', '--network=none', 'base', 'echo', 'written'], {
        TSBUILD_EXECUTOR: executor,
      });
      const { stdout } = await runCommand('sh', ['-c', '"$@" 2>&1 | cat', 'sh', ...command]);
      expect(stdout).to.equal('written\n');
    });

  it('is told how newuidmap gets its rights back', async () => {
    const copy = join(user!.home, 'newuidmap');
    copyFileSync(findProgram('newuidmap')!, copy);
    chmodSync(copy, 0o755);
    const doctor = await runWithNewuidmap(copy, 'doctor');
    expect(doctor.status).to.equal(1);
    expect(doctor.stdout).to.match(
      /^failed +subordinate ids +.* has lost its set-uid bit\n +mend: chown root:root (\S+) && chmod u\+s \1$/m,
    );
    const images = await runWithNewuidmap(copy, 'images');
    expect([images.status, images.stderr]).to.deep.equal([
      1,
      "error: this user's ranges of ids cannot be mapped: /usr/bin/newuidmap has lost its set-uid bit\n" +
        'hint: chown root:root /usr/bin/newuidmap && chmod u+s /usr/bin/newuidmap; or run tsbuild as root\n' +
        '[NOT_PERMITTED, exit status 1; docs/errors.md#not_permitted]\n',
    ]);
    setXattr(copy, 'security.capability', Buffer.from(`0100000280000000${'00'.repeat(12)}`, 'hex'));
    expect((await runWithNewuidmap(copy, 'images')).status).to.equal(0);
    expect((await runWithNewuidmap(copy, 'doctor')).stdout).to.match(
      /^ok +subordinate ids +\S+ has ranges$/m,
    );
  });

  it('is told that nobody may gain rights here', async () => {
    const [program, ...args] = user!.commandLine([user!.command, 'images']);
    const { status, stderr } = await runCommand(program, ['--no-new-privs', ...args]);
    expect(status).to.equal(1);
    expect(stderr).to.contain('(no_new_privs)').and.contain('[NOT_PERMITTED');
  });

  it('is told which ids the ranges do not have', async () => {
    const context = openContext({ Dockerfile: 'FROM base\nCOPY --chown=70000 f /\nRUN true\n', f: 'f\n' });
    const { status, stderr } = await tsbuild(context);
    expect(status).to.equal(1);
    expect(stderr)
      .to.contain('"f" of the layer belongs to 70000:70000: there is no user 70000 and no group 70000')
      .and.contain('the ranges in /etc/subuid and /etc/subgid are too short')
      .and.contain('[NOT_PERMITTED');
  });
});

describe('an ordinary user without subordinate ids', function () {
  this.timeout(60_000);
  let user: OrdinaryUser;
  const build = (dockerfile: string, ...flags: string[]) =>
    user.run([user.command, openContext({ Dockerfile: dockerfile, f: 'f\n' }), ...flags]);

  before(async function () {
    needs(this, 'root', ...['crun', 'busybox', 'setpriv'].map((program) => ({ program })));
    user = await nobodyUser();
    const base = await user.run([user.command, baseContext(user.name), '-t', 'base']);
    expect(base.status, base.stderr).to.equal(0);
  });

  it('builds what has one owner', async () => {
    const steps =
      'RUN id -u > /seen && rm /etc/profile && mkdir -p /d/e\nWORKDIR /w\nCOPY f .\nRUN cat f >> /seen\n';
    const { status, stderr } = await build(`FROM base\n${steps}CMD ["cat", "/seen"]\n`, '-t', 'one');
    expect(status, stderr).to.equal(0);
    expect((await user.run([user.command, 'run', 'one'])).stdout).to.equal('0\nf\n');
  });

  for (const [what, dockerfile, message] of [
    [
      'a file of another owner',
      'COPY --chown=7:8 f /\nRUN true',
      '"f" of the layer belongs to 7:8: there is no user 7 and no group 8',
    ],
    [
      'another USER',
      'USER app\nRUN true',
      'the user "app" is 1000:1000: there is no user 1000 and no group 1000',
    ],
    [
      'a cache mount of another user',
      'RUN --mount=type=cache,uid=7,target=/c true',
      'the cache mount "/c" is to belong to 7:0: there is no user 7 in',
    ],
  ] as const) {
    it(`is told why ${what} cannot be, and what root must do`, async () => {
      const { status, stderr } = await build(`FROM base\n${dockerfile}\n`);
      expect(status, stderr).to.equal(1);
      expect(stderr)
        .to.contain(message)
        .and.contain('(/etc/subuid gives nobody no range)')
        .and.contain('hint: as root: usermod --add-subuids ')
        .and.contain('[NOT_PERMITTED');
    });
  }

  it('is told why a program may have failed that changes owners', async () => {
    const { status, stderr } = await build('FROM base\nRUN touch /a && chown 7 /a\n');
    expect(status).to.equal(1);
    expect(stderr).to.contain('hint: steps have one user and one group here');
    const doctor = await user.run([user.command, 'doctor']);
    expect(doctor.stdout).to.match(
      /^warning +subordinate ids +\/etc\/subuid gives nobody no range.*\n +mend: usermod --add-subuids (\d+-\d+) --add-subgids \1 nobody$/m,
    );
  });
});
