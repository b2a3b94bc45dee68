import { expect } from 'chai';
import { chmodSync, chownSync, cpSync, existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { dirname, join, relative } from 'node:path';
import { mustRun, PROJECT, runCommand, TSBUILD } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { needs } from '../kit/needs.js';
import { tmpDir } from '../kit/tmp-dir.js';

const USER = 'tsbuild-test';

/** Whether others may walk to a file: a clone below /root is closed to ordinary users. */
function isOpenToOthers(path: string): boolean {
  return path === '/' || ((statSync(path).mode & 0o001) !== 0 && isOpenToOthers(dirname(path)));
}

/** The command where the user can start it: in place, or a copy with what it needs at run time. */
async function reachableCommand(home: string): Promise<string> {
  if (isOpenToOthers(dirname(TSBUILD))) return TSBUILD;
  const listed = await runCommand('npm', ['ls', '--all', '--omit=dev', '--parseable'], { cwd: PROJECT });
  const modules = listed.stdout.split('\n').filter((path) => path.startsWith(`${PROJECT}/node_modules/`));
  const app = join(home, 'app');
  for (const path of ['bin', 'dist', 'package.json', ...modules.map((path) => relative(PROJECT, path))]) {
    cpSync(join(PROJECT, path), join(app, path), { recursive: true });
  }
  return join(app, 'bin/tsbuild');
}

/** An ordinary user with ranges of subordinate ids; made once, removed after. */
describe('an ordinary user with a subuid range', function () {
  this.timeout(120_000);
  let home: string;
  let command: string;
  let made = false;

  const asUser = (...args: string[]) =>
    runCommand(
      'setpriv',
      [
        '--reuid',
        USER,
        '--regid',
        USER,
        '--init-groups',
        'env',
        '-i',
        `HOME=${home}`,
        `PATH=${process.env['PATH']!}:/usr/sbin:/sbin`,
        ...args,
      ],
      { cwd: home },
    );

  before(async function () {
    needs(
      this,
      'root',
      { program: 'newuidmap' },
      { program: 'crun' },
      { program: 'busybox' },
      { program: 'useradd' },
    );
    home = tmpDir();
    command = await reachableCommand(home);
    if (!readFileSync('/etc/passwd', 'utf8').includes(`\n${USER}:`)) {
      await mustRun('useradd', ['--no-create-home', '--home-dir', home, '--shell', '/bin/sh', USER]);
      made = true;
    }
    if (!existsSync('/etc/subuid') || !readFileSync('/etc/subuid', 'utf8').includes(`${USER}:`)) {
      await mustRun('usermod', ['--add-subuids', '300000-365535', '--add-subgids', '300000-365535', USER]);
    }
    const ids = ['-u', '-g'].map((flag) => Number(execFileSync('id', [flag, USER], { encoding: 'utf8' })));
    cpSync(join(PROJECT, 'examples/hello'), join(home, 'hello'), { recursive: true });
    mkdirSync(join(home, 'base'));
    const busybox = (await mustRun('sh', ['-c', 'command -v busybox'])).trim();
    cpSync(busybox, join(home, 'base/busybox'), { dereference: true });
    makeContext(
      {
        Dockerfile:
          'FROM scratch\nCOPY busybox /bin/busybox\nRUN ["/bin/busybox","--install","-s","/bin"]\nCMD ["/bin/sh"]\n',
      },
      join(home, 'base'),
    );
    chmodSync(home, 0o755);
    chownSync(home, ids[0]!, ids[1]!);
  });

  after(async () => {
    if (!home) return;
    await asUser('unshare', '--user', '--map-root-user', '--map-auto', 'rm', '-rf', join(home, '.local'));
    if (made) await mustRun('userdel', [USER]);
  });

  it('builds the hello example and runs it', async () => {
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
    const build = await asUser(command, context, '-t', 'owners');
    expect(build.status, build.stderr).to.equal(0);
    expect((await asUser(command, 'run', 'owners')).stdout).to.equal('1000:2000\n33:44\n');
  });
});
