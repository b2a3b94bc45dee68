import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, cpSync, existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { type CommandOptions, type CommandResult, mustRun, PROJECT, runCommand, TSBUILD } from './cli.js';
import { tmpDir } from './tmp-dir.js';

/** Of this process alone: others may test beside it. */
const USER = `tsbuild-test-${process.pid}`;

/** A user of the machine with ranges of subordinate ids and a home of its own. */
export interface OrdinaryUser {
  /** Of the user and of its group. */
  readonly name: string;
  readonly home: string;
  /** tsbuild where the user can start it. */
  readonly command: string;
  /** A command line that does as `run` when root starts it. */
  commandLine(args: readonly string[], env?: Readonly<Record<string, string>>): [string, ...string[]];
  /** Runs a program as the user, with nothing in its environment but HOME, PATH, TSBUILD_EXECUTOR if it is set, and `env`. */
  run(
    args: readonly string[],
    env?: Readonly<Record<string, string>>,
    options?: Pick<CommandOptions, 'onStart'>,
  ): Promise<CommandResult>;
  /** Removes what the user's namespaces own below `home`, and the user. */
  remove(): Promise<void>;
}

/** Needs root, newuidmap and useradd. */
export async function makeOrdinaryUser(): Promise<OrdinaryUser> {
  const home = tmpDir();
  await mustRun('useradd', ['--no-create-home', '--home-dir', home, '--shell', '/bin/sh', USER]);
  if (!existsSync('/etc/subuid') || !readFileSync('/etc/subuid', 'utf8').includes(`${USER}:`)) {
    await mustRun('usermod', ['--add-subuids', '300000-365535', '--add-subgids', '300000-365535', USER]);
  }
  const user = await userAt(USER, home);
  return {
    ...user,
    async remove() {
      const inNamespace = ['unshare', '--user', '--map-root-user', '--map-auto'];
      await user.run([...inNamespace, 'sh', '-c', 'rm -rf "$HOME"/.local "$HOME"/store*']);
      await mustRun('userdel', [USER]);
    },
  };
}

/** The user `nobody`, who has no subordinate ids. Needs root. */
export async function nobodyUser(): Promise<OrdinaryUser> {
  return { ...(await userAt('nobody', tmpDir())), remove: async () => undefined };
}

async function userAt(name: string, home: string): Promise<Omit<OrdinaryUser, 'remove'>> {
  const command = await reachableCommand(home);
  const [uid, gid] = ['-u', '-g'].map((flag) =>
    Number(execFileSync('id', [flag, name], { encoding: 'utf8' })),
  ) as [number, number];
  chmodSync(home, 0o755);
  chownSync(home, uid, gid);
  const commandLine: OrdinaryUser['commandLine'] = (args, env = {}) => {
    const identity = ['--reuid', String(uid), '--regid', String(gid), '--init-groups'];
    const executor = process.env['TSBUILD_EXECUTOR'];
    const all = {
      HOME: home,
      PATH: `${process.env['PATH']!}:/usr/sbin:/sbin`,
      ...(executor && { TSBUILD_EXECUTOR: executor }),
      ...env,
    };
    const environment = Object.entries(all).map(([key, value]) => `${key}=${value}`);
    return ['setpriv', ...identity, 'env', '-i', ...environment, ...args];
  };
  return {
    name,
    home,
    command,
    commandLine,
    run(args, env, options = {}) {
      const [program, ...rest] = commandLine(args, env);
      return runCommand(program, rest, { ...options, cwd: home });
    },
  };
}

/** Whether others may walk to a file: a clone below /root is closed to ordinary users. */
function isOpenToOthers(path: string): boolean {
  return path === '/' || ((statSync(path).mode & 0o001) !== 0 && isOpenToOthers(dirname(path)));
}

/** The command in place, or a copy with what it needs at run time. */
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
