import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { TSBUILD } from '../test/kit/cli.js';
import { startNewEngine } from '../test/kit/engine.js';
import { findProgram } from '../test/kit/needs.js';
import type { Output } from './work-loads.js';

/** A builder under measurement: how it builds, and how its cache is dropped. All state is below one directory. */
export interface Builder {
  readonly name: string;
  /** Gives the builder the base image `bench-base` from a root file system. */
  prepare(rootfsTar: string): Promise<void>;
  /** Forgets all but `bench-base`: steps, contexts, and what is known of their files. */
  dropCache(): void;
  /** It refuses to write an archive where one is. */
  readonly needsEmptyPlace?: boolean;
  /** Undefined where the builder cannot do that. */
  command(context: string, output: Output, dest: string): Command | undefined;
  /** Builds an image of a project; prints each step, for `stepsRun`. */
  build(context: string, image: ImageRequest): Command;
  /** The RUN, COPY, ADD and WORKDIR steps that were not cached, from what `build` printed. */
  stepsRun(output: string): string[];
  /** Prints a file of a built image. */
  readFile(tag: string, path: string): Command;
  stop(): Promise<void>;
}

export interface Command {
  readonly args: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}

export interface ImageRequest {
  readonly tag: string;
  readonly dockerfile: string;
  readonly args: Readonly<Record<string, string>>;
}

const buildArgs = (image: ImageRequest) =>
  Object.entries(image.args).flatMap(([name, value]) => ['--build-arg', `${name}=${value}`]);

const STEP = /(?:RUN|COPY|ADD|WORKDIR) /;

/** Steps of the plain progress that tsbuild and BuildKit have in common: `#5 [2/3] RUN …`, then `#5 CACHED` or `#5 DONE`. */
function stepsOfPlainProgress(output: string): string[] {
  const names = new Map<string, string>();
  const ran: string[] = [];
  for (const line of output.split('\n')) {
    const [, id, text] = /^(#\d+) (.*)$/.exec(line) ?? [];
    if (id === undefined || text === undefined) continue;
    const name = /^\[(?!internal)[^\]]*\] (.*)$/.exec(text)?.[1];
    if (name !== undefined && STEP.test(name)) names.set(id, name);
    if (text.startsWith('DONE') && names.has(id)) ran.push(names.get(id)!);
  }
  return ran;
}

/** Steps of buildah: `STEP 2/5: RUN …`, followed by `--> Using cache …` where it was cached. */
function stepsOfBuildah(output: string): string[] {
  const steps: string[] = [];
  for (const line of output.split('\n')) {
    const name = /STEP \d+\/\d+: (.*)$/.exec(line)?.[1];
    if (name !== undefined) steps.push(name);
    else if (line.includes('--> Using cache')) steps.pop();
  }
  return steps.filter((name) => STEP.test(name.split('--mount')[0]!));
}

function run(args: readonly string[], env: NodeJS.ProcessEnv = {}): void {
  const result = spawnSync(args[0]!, args.slice(1), { env: { ...process.env, ...env }, encoding: 'utf8' });
  if (result.status !== 0) throw new Error(`${args.join(' ')} ended with ${result.status}: ${result.stderr}`);
}

/** Options of tsbuild for an output. */
const TSBUILD_OUTPUTS: Readonly<Record<Exclude<Output, 'load'>, (dest: string) => readonly string[]>> = {
  store: () => [],
  archive: (dest) => ['-o', `type=docker,dest=${dest}`],
  'oci-gzip': (dest) => ['-o', `type=oci,compression=gzip,dest=${dest}`],
  'oci-zstd': (dest) => ['-o', `type=oci,compression=zstd,dest=${dest}`],
};

/** With the socket of an engine it can load images there. */
export function createTsbuild(dir: string, engine?: string): Builder {
  const root = join(dir, 'tsbuild');
  const env = { TSBUILD_ROOT: root };
  // The state with the base image in it, unpacked as the peers have it: all that a cold build may find.
  const prepared = join(dir, 'tsbuild-prepared');
  return {
    name: 'tsbuild',
    prepare: async (rootfsTar) => {
      run([TSBUILD, 'import', rootfsTar, 'bench-base'], env);
      const context = mkdtempSync(join(dir, 'prepare-'));
      writeFileSync(join(context, 'Dockerfile'), 'FROM bench-base\nRUN true\n');
      run([TSBUILD, context, '-q', '-o', 'type=cacheonly'], env);
      for (const path of [context, join(root, 'records'), prepared])
        rmSync(path, { recursive: true, force: true });
      run(['cp', '-a', root, prepared]);
    },
    dropCache: () => {
      rmSync(root, { recursive: true, force: true });
      run(['cp', '-a', prepared, root]);
    },
    command: (context, output, dest) => {
      const args = [TSBUILD, context, '-t', 'bench', '-q'];
      if (output !== 'load') return { args: [...args, ...TSBUILD_OUTPUTS[output](dest)], env };
      if (engine === undefined) return undefined;
      return { args: [...args, '--load'], env: { ...env, DOCKER_HOST: engine } };
    },
    build: (context, image) => ({
      args: [
        TSBUILD,
        context,
        '-f',
        join(context, image.dockerfile),
        '-t',
        image.tag,
        '--progress=plain',
        ...buildArgs(image),
      ],
      env,
    }),
    stepsRun: stepsOfPlainProgress,
    readFile: (tag, path) => ({ args: [TSBUILD, 'run', tag, 'cat', path], env }),
    stop: async () => undefined,
  };
}

/** Not tsbuild's, since both put images into one engine, where what lost its name may lose its layers. */
const DOCKER_TAG = 'bench-docker';

export interface Docker extends Builder {
  /** `unix://PATH` */
  readonly engine: string;
}

/** Docker's engine with its BuildKit, warm, on its own socket. */
export async function startDocker(dir: string): Promise<Docker | undefined> {
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
    ...dockerBuilder(docker, env),
    // Its BuildKit writes no archives.
    command: (context, output, dest) => {
      if (output === 'oci-gzip' || output === 'oci-zstd') return undefined;
      const build = [docker, 'build', '-q', '-t', DOCKER_TAG, context];
      if (output !== 'archive') return { args: build, env };
      return {
        args: ['sh', '-c', `${build.join(' ')} > /dev/null && ${docker} save ${DOCKER_TAG} -o ${dest}`],
        env,
      };
    },
    engine: socket,
    stop: () =>
      new Promise((resolve) => {
        engine.once('exit', () => resolve());
        engine.kill('SIGTERM');
      }),
  };
}

/** What Docker's newest BuildKit writes itself, since its engine has an image store of containerd's. */
const BUILDKIT_OUTPUTS: Readonly<Record<Exclude<Output, 'store' | 'load'>, string>> = {
  archive: 'type=docker,compression=uncompressed',
  'oci-gzip': 'type=oci,compression=gzip',
  'oci-zstd': 'type=oci,compression=zstd',
};

/** The Docker of another root directory, newer than that of this machine; its steps have no network. */
export async function startNewDocker(root: string): Promise<Docker> {
  const engine = await startNewEngine(root);
  const docker = join(root, 'usr/bin/docker');
  return {
    name: 'new docker build',
    ...dockerBuilder(docker, engine.env),
    command: (context, output, dest) => {
      const store = output === 'store' || output === 'load';
      const target = store ? [] : ['-o', `${BUILDKIT_OUTPUTS[output]},dest=${dest}`];
      const build = [docker, 'build', '-q', '--network=none', '-t', DOCKER_TAG];
      return { args: [...build, ...target, context], env: engine.env };
    },
    engine: engine.host,
    stop: () => engine.stop(),
  };
}

/** What all Dockers have in common. */
function dockerBuilder(
  docker: string,
  env: NodeJS.ProcessEnv,
): Pick<Builder, 'prepare' | 'dropCache' | 'build' | 'stepsRun' | 'readFile'> {
  return {
    prepare: async (rootfsTar) => run([docker, 'import', rootfsTar, 'bench-base'], env),
    dropCache: () => run([docker, 'builder', 'prune', '-af'], env),
    build: (context, image) => ({
      args: [
        docker,
        'build',
        '--progress=plain',
        '--network=none',
        '-f',
        join(context, image.dockerfile),
        '-t',
        image.tag,
        ...buildArgs(image),
        context,
      ],
      env,
    }),
    stepsRun: stepsOfPlainProgress,
    readFile: (tag, path) => ({
      args: [docker, 'run', '--rm', '--network=none', '--entrypoint=cat', tag, path],
      env,
    }),
  };
}

/** Where buildah puts an image, with the options for it. */
const BUILDAH_OUTPUTS: Readonly<Record<Exclude<Output, 'store' | 'load'>, (dest: string) => string>> = {
  archive: (dest) => `bench docker-archive:${dest}:bench:latest`,
  'oci-gzip': (dest) => `--compression-format gzip bench oci-archive:${dest}`,
  'oci-zstd': (dest) => `--compression-format zstd bench oci-archive:${dest}`,
};

/** With the socket of an engine it can load images there. */
export function createBuildah(dir: string, engine?: string): Builder | undefined {
  const buildah = findProgram('buildah');
  if (!buildah) return undefined;
  const storage = ['--root', join(dir, 'buildah/root'), '--runroot', join(dir, 'buildah/run')];
  const command = [buildah, ...storage].join(' ');
  const buildahCat = 'id=$($0 from $1) && cat "$($0 mount $id)$2" && $0 rm $id > /dev/null';
  return {
    name: 'buildah',
    needsEmptyPlace: true,
    prepare: async (rootfsTar) => {
      const name = spawnSync(buildah, [...storage, 'from', 'scratch'], { encoding: 'utf8' }).stdout.trim();
      run([buildah, ...storage, 'add', '-q', name, rootfsTar, '/']);
      run([buildah, ...storage, 'commit', '-q', name, 'bench-base']);
      run([buildah, ...storage, 'rm', name]);
    },
    // Images of stages have no name, and stay when the last one goes.
    dropCache: () => {
      for (const what of ['bench', '--prune'])
        spawnSync(buildah, [...storage, 'rmi', '-f', what], { stdio: 'ignore' });
    },
    command: (context, output, dest) => {
      const build = `${command} build -q --tls-verify=false --layers --isolation chroot -t bench ${context} > /dev/null`;
      if (output === 'store') return { args: ['sh', '-c', build] };
      if (output === 'load' && engine === undefined) return undefined;
      const target = BUILDAH_OUTPUTS[output === 'load' ? 'archive' : output](dest);
      const load = output === 'load' ? ` && docker -H ${engine} load -q -i ${dest}` : '';
      return { args: ['sh', '-c', `${build} && ${command} push -q ${target}${load}`] };
    },
    build: (context, image) => ({
      args: [
        buildah,
        ...storage,
        'build',
        '--layers',
        '--isolation=chroot',
        '-f',
        join(context, image.dockerfile),
        '-t',
        image.tag,
        ...buildArgs(image),
        context,
      ],
    }),
    stepsRun: stepsOfBuildah,
    readFile: (tag, path) => ({ args: ['sh', '-c', buildahCat, command, tag, path] }),
    // Its storage mounts its own directory onto itself and leaves that to stay.
    stop: async () => void spawnSync('umount', ['-l', join(dir, 'buildah/root/overlay')]),
  };
}
