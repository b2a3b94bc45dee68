import { expect } from 'chai';
import { chmodSync, cpSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { mustRun, PROJECT } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { needs } from '../kit/needs.js';
import { makeOrdinaryUser, type OrdinaryUser } from '../kit/ordinary-user.js';

/** An ordinary user with ranges of subordinate ids; made once, removed after. */
describe('an ordinary user with a subuid range', function () {
  this.timeout(120_000);
  let user: OrdinaryUser | undefined;
  const asUser = (...args: string[]) => user!.run(args);

  before(async function () {
    needs(
      this,
      'root',
      { program: 'newuidmap' },
      { program: 'crun' },
      { program: 'busybox' },
      { program: 'useradd' },
    );
    user = await makeOrdinaryUser();
    cpSync(join(PROJECT, 'examples/hello'), join(user.home, 'hello'), { recursive: true });
    mkdirSync(join(user.home, 'base'));
    const busybox = (await mustRun('sh', ['-c', 'command -v busybox'])).trim();
    cpSync(busybox, join(user.home, 'base/busybox'), { dereference: true });
    makeContext(
      {
        Dockerfile:
          'FROM scratch\nCOPY busybox /bin/busybox\nRUN ["/bin/busybox","--install","-s","/bin"]\nCMD ["/bin/sh"]\n',
      },
      join(user.home, 'base'),
    );
  });

  after(() => user?.remove());

  it('builds the hello example and runs it', async () => {
    const { command, home } = user!;
    const base = await asUser(command, join(home, 'base'), '-t', 'alpine', '--progress=plain');
    expect(base.status, base.stderr).to.equal(0);
    const hello = await asUser(command, join(home, 'hello'), '-t', 'test', '--progress=plain');
    expect(hello.status, hello.stderr).to.equal(0);
    const run = await asUser(command, 'run', 'test');
    expect(run.stdout, run.stderr).to.equal('Hallo\n');
  });

  it('gives files other owners', async () => {
    const context = makeContext({
      Dockerfile:
        'FROM alpine\nCOPY --chown=1000:2000 f /f\nRUN chown 7:8 /bin/sh -h && touch /g && chown 33:44 /g\nCMD ["/bin/busybox", "stat", "-c", "%u:%g", "/f", "/g"]\n',
      f: 'f\n',
    });
    chmodSync(context, 0o755);
    const build = await asUser(user!.command, context, '-t', 'owners');
    expect(build.status, build.stderr).to.equal(0);
    expect((await asUser(user!.command, 'run', 'owners')).stdout).to.equal('1000:2000\n33:44\n');
  });
});
