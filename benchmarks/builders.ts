import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { TSBUILD } from '../test/kit/cli.js';
import { findProgram } from '../test/kit/needs.js';

/** A builder under measurement: how it builds, and how its cache is dropped. All state is below one directory. */
export interface Builder {
  readonly name: string;
  /** Gives the builder the base image `bench-base` from a root file system. */
  prepare(rootfsTar: string): Promise<void>;
  dropCache(): void;
  command(
    context: string,
    output: 'store' | 'archive',
    dest: string,
  ): { args: readonly string[]; env?: NodeJS.ProcessEnv };
  stop(): Promise<void>;
}

function run(args: readonly string[], env: NodeJS.ProcessEnv = {}): void {
  const result = spawnSync(args[0]!, args.slice(1), { env: { ...process.env, ...env }, encoding: 'utf8' });
  if (result.status !== 0) throw new Error(`${args.join(' ')} ended with ${result.status}: ${result.stderr}`);
}

export function createTsbuild(dir: string): Builder {
  const root = join(dir, 'tsbuild');
  const env = { TSBUILD_ROOT: root };
  return {
    name: 'tsbuild',
    prepare: async (rootfsTar) => run([TSBUILD, 'import', rootfsTar, 'bench-base'], env),
    dropCache: () => rmSync(join(root, 'records'), { recursive: true, force: true }),
    command: (context, output, dest) => ({
      args: [
        TSBUILD,
        context,
        ...(output === 'archive' ? ['-o', `type=docker,dest=${dest}`] : []),
        '-t',
        'bench',
        '-q',
      ],
      env,
    }),
    stop: async () => undefined,
  };
}

/** Docker's engine with its BuildKit, warm, on its own socket. */
export async function startDocker(dir: string): Promise<Builder | undefined> {
  const dockerd = findProgram('dockerd');
  const docker = ['/usr/bin/docker', findProgram('docker')].find((path) => path && existsSync(path));
  if (!dockerd || !docker) return undefined;
  const home = join(dir, 'docker');
  mkdirSync(home, { recursive: true });
  const socket = `unix://${home}/sock`;
  const engine = spawn(
    dockerd,
    ['--data-root', `${home}/data`, '--exec-root', `${home}/exec`, '--pidfile', `${home}/pid`, '-H', socket],
    { stdio: 'ignore' },
  );
  const env = { DOCKER_HOST: socket, DOCKER_BUILDKIT: '1' };
  for (let i = 0; spawnSync(docker, ['version'], { env: { ...process.env, ...env } }).status !== 0; i++) {
    if (i > 100) throw new Error('dockerd did not start');
    await sleep(200);
  }
  return {
    name: 'docker build',
    prepare: async (rootfsTar) => run([docker, 'import', rootfsTar, 'bench-base'], env),
    dropCache: () => run([docker, 'builder', 'prune', '-af'], env),
    command: (context, output, dest) => ({
      args:
        output === 'archive'
          ? [
              'sh',
              '-c',
              `${docker} build -q -t bench ${context} > /dev/null && ${docker} save bench -o ${dest}`,
            ]
          : [docker, 'build', '-q', '-t', 'bench', context],
      env,
    }),
    stop: () =>
      new Promise((resolve) => {
        engine.once('exit', () => resolve());
        engine.kill('SIGTERM');
      }),
  };
}

export function createBuildah(dir: string): Builder | undefined {
  const buildah = findProgram('buildah');
  if (!buildah) return undefined;
  const storage = ['--root', join(dir, 'buildah/root'), '--runroot', join(dir, 'buildah/run')];
  return {
    name: 'buildah',
    prepare: async (rootfsTar) => {
      const name = spawnSync(buildah, [...storage, 'from', 'scratch'], { encoding: 'utf8' }).stdout.trim();
      run([buildah, ...storage, 'add', '-q', name, rootfsTar, '/']);
      run([buildah, ...storage, 'commit', '-q', name, 'bench-base']);
      run([buildah, ...storage, 'rm', name]);
    },
    dropCache: () => spawnSync(buildah, [...storage, 'rmi', '-f', 'bench'], { stdio: 'ignore' }),
    command: (context, output, dest) => ({
      args: [
        'sh',
        '-c',
        `${[buildah, ...storage].join(' ')} build -q --layers --isolation chroot -t bench ${context} > /dev/null${output === 'archive' ? ` && ${[buildah, ...storage].join(' ')} push -q bench docker-archive:${dest}` : ''}`,
      ],
    }),
    stop: async () => undefined,
  };
}
