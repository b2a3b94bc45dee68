import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type CommandResult, mustRun, runCommand } from './cli.js';
import { findProgram } from './needs.js';
import { tmpDir } from './tmp-dir.js';

/** A real dockerd with its own socket and data, without networks of its own. */
export interface Engine {
  /** `unix://PATH` */
  readonly host: string;
  /** Of its client. */
  readonly env: NodeJS.ProcessEnv;
  docker(...args: string[]): Promise<CommandResult>;
  /** The same for what must succeed; gives standard output. */
  must(...args: string[]): Promise<string>;
  stop(): Promise<void>;
}

/**
 * Starts the engine and waits until it answers. `stop` ends it and removes what it left. `TSBUILD_TEST_ENGINE=unix://PATH` names
 * one that runs already, perhaps with another image store: its images are lost.
 */
export async function startEngine(moreFlags: readonly string[] = []): Promise<Engine> {
  const home = tmpDir();
  const given = process.env['TSBUILD_TEST_ENGINE'];
  if (given !== undefined && moreFlags.length === 0)
    return { host: given, ...dockerAt(given, home), stop: async () => undefined };
  return startIn(home, home, (flags) => [findProgram('dockerd')!, ...flags, ...moreFlags]);
}

/** A root directory with Docker 28 or newer in it, as TSBUILD_DOCKER_ROOT says. */
export function newDockerRoot(): string | undefined {
  return process.env['TSBUILD_DOCKER_ROOT'] || undefined;
}

/** Starts the engine of another root directory, with its containerd image store; its client with buildx runs outside of that. */
export async function startNewEngine(root: string): Promise<Engine> {
  const home = mkdtempSync(join(root, 'var/tmp/engine-'));
  symlinkSync(join(root, 'usr/libexec/docker/cli-plugins'), join(home, 'cli-plugins'));
  const inside = home.slice(root.length);
  const engine = await startIn(home, inside, (flags) => inRoot(root, flags), join(root, 'usr/bin/docker'));
  const stop = async () => {
    await engine.stop();
    rmSync(home, { recursive: true, force: true });
  };
  return { ...engine, stop };
}

/** In mounts of its own, which end with it. */
function inRoot(root: string, flags: readonly string[]): string[] {
  const script = `
    mount --make-rprivate / && mount --bind "$0" "$0" && mount -t tmpfs run "$0/run"
    for each in proc sys dev; do mount --rbind "/$each" "$0/$each"; done
    exec chroot "$0" dockerd "$@"`;
  const features = ['--feature', 'containerd-snapshotter=true', '--ip6tables=false'];
  return ['unshare', '-m', 'sh', '-c', script, root, ...flags, ...features];
}

/** @param inside the same directory as the engine sees it */
async function startIn(
  home: string,
  inside: string,
  commandFor: (flags: readonly string[]) => string[],
  client?: string,
): Promise<Engine> {
  for (const name of ['data', 'exec']) mkdirSync(join(home, name));
  const socket = `unix://${join(home, 'sock')}`;
  const [program, ...args] = commandFor([
    '--data-root',
    join(inside, 'data'),
    '--exec-root',
    join(inside, 'exec'),
    '--pidfile',
    join(inside, 'pid'),
    '-H',
    `unix://${join(inside, 'sock')}`,
    '--iptables=false',
    '--bridge=none',
  ]);
  // Its containerd writes its stacks there when it does not end in time.
  const env = { ...process.env, TMPDIR: inside };
  const engine = spawn(program!, args, { stdio: ['ignore', 'ignore', 'pipe'], env });
  let log = '';
  engine.stderr.on('data', (chunk: Buffer) => (log += chunk.toString('utf8')));
  const { env: ofClient, docker, must } = dockerAt(socket, home, client);
  for (let tries = 0; (await docker('version')).status !== 0; tries++) {
    if (engine.exitCode !== null || tries > 150) throw new Error(`dockerd did not start:\n${log}`);
    await sleep(200);
  }
  return {
    host: socket,
    env: ofClient,
    docker,
    must,
    stop: async () => {
      const ended = new Promise((resolve) => engine.once('exit', resolve));
      engine.kill('SIGTERM');
      await ended;
      await unmountBelow(home);
      removeControlGroups();
    },
  };
}

function dockerAt(
  host: string,
  home: string,
  client = findProgram('docker', ['/usr/bin'])!,
): Pick<Engine, 'env' | 'docker' | 'must'> {
  const env = { DOCKER_HOST: host, DOCKER_BUILDKIT: '1', BUILDKIT_PROGRESS: 'plain', DOCKER_CONFIG: home };
  return {
    env,
    docker: (...args) => runCommand(client, args, { env }),
    must: (...args) => mustRun(client, args, { env }),
  };
}

/** The engine leaves its empty groups, in each hierarchy; those that another engine uses stay. */
function removeControlGroups(): void {
  const hierarchies = ['.', ...readdirSync('/sys/fs/cgroup')];
  for (const path of hierarchies.flatMap((name) => [`${name}/docker/buildkit`, `${name}/docker`])) {
    try {
      rmdirSync(join('/sys/fs/cgroup', path));
    } catch {
      // It is not there, or not empty.
    }
  }
}

async function unmountBelow(dir: string): Promise<void> {
  const points = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .flatMap((line) => line.split(' ')[4] ?? [])
    .filter((point) => point.startsWith(dir));
  for (const point of points.reverse()) await runCommand('umount', ['-l', point]);
}
