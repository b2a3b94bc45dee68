import { existsSync } from 'node:fs';
import { Command, CommanderError, Option } from 'commander';
import { BuildError, nearestName } from '../errors.js';
import type { CommandContext, GlobalOptions } from './command-context.js';
import { PROGRESS_MODES } from './progress/display.js';

declare const TSBUILD_VERSION: string | undefined;

/** The version of package.json, put in by the bundler. */
export const version = typeof TSBUILD_VERSION === 'string' ? TSBUILD_VERSION : '0.0.0';

type AddCommands = (program: Command, context: CommandContext, exit: (status: number) => void) => void;

/** Only the group of the command that is asked for is set up: all of them take longer than the rest of a cached build's start. */
const GROUPS: readonly (readonly [names: readonly string[], add: AddCommands])[] = [
  [['build'], addBuild],
  [['bake'], addBake],
  [['images', 'inspect', 'history', 'tag', 'rmi'], addImageCommands],
  [['save', 'load', 'import', 'pull', 'push'], addTransferCommands],
  [['run'], addRun],
  [['why'], addWhy],
  [['debug'], addDebug],
  [['du', 'prune', 'doctor'], addStoreCommands],
  [['version'], addVersion],
];

const COMMANDS = [...GROUPS.flatMap(([names]) => names), 'help'];

/** buildx flags that mean nothing here and change nothing. */
const IGNORED = ['--rm', '--force-rm', '--compress'];

/** buildx flags that this version does not have. */
const UNSUPPORTED: readonly string[] = [
  '--cgroup-parent',
  '--attest',
  '--builder',
  '--squash',
  '--memory',
  '--cpu-shares',
  '--isolation',
];

const EXAMPLES = `
Examples:
  tsbuild . -t app                                  build ./Dockerfile into the local image store
  tsbuild . -t app --load                           the same, and into Docker
  tsbuild . -t app -o type=docker,dest=app.tar      as an archive for docker load
  tsbuild . -f prod.Dockerfile --target web --build-arg VERSION=1.2 -t registry.example/web:1.2 --push
`;

/**
 * Runs a command line (without node and script) and gives the exit status. `build` is the default command.
 * @throws BuildError; USAGE for what cannot be understood
 */
export async function runCommandLine(args: readonly string[], context: CommandContext): Promise<number> {
  let status = 0;
  const words = withDefaultCommand(args).map(withFormat);
  const program = createProgram(words[0]!, context, (value) => (status = value));
  try {
    await program.parseAsync(words, { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) return usageStatus(error, program);
    throw error;
  }
  return status;
}

/** A first word that is no command makes it a build; options may stand before it. */
function withDefaultCommand(args: readonly string[]): string[] {
  const first = args[0];
  const nearest = first === undefined || first.startsWith('-') ? undefined : nearestName(first, COMMANDS);
  if (nearest !== undefined && nearest !== first && !existsSync(first!)) {
    throw new BuildError('USAGE', `unknown command "${first}"`, {
      hint: `did you mean "${nearest}"? A build takes a directory: tsbuild .`,
    });
  }
  if (first === undefined) return ['help'];
  if (['--help', '-h', '--version', '-V'].includes(first) || COMMANDS.includes(first)) return [...args];
  return ['build', ...args];
}

/** A flag with an optional value would swallow the directory after it, so `--explain=json` has a name of its own. */
function withFormat(argument: string): string {
  return argument.replace(/^--explain=/, '--explain-as=');
}

function usageStatus(error: CommanderError, program: Command): number {
  if (error.exitCode === 0) return 0;
  const flag = /unknown option '([^']+)'/.exec(error.message)?.[1];
  const message = error.message.replace(/^error: /, '').replace(/\n[\s\S]*/, '');
  if (flag === undefined) throw new BuildError('USAGE', message, { hint: 'see tsbuild --help' });
  const name = flag.split('=')[0]!;
  if (UNSUPPORTED.includes(name)) {
    throw new BuildError('UNSUPPORTED', `the flag "${name}" is not supported in this version`, {
      hint: 'leave it out; README.md lists what works',
    });
  }
  const known = program.commands
    .flatMap((command) => command.options.flatMap((option) => [option.long, option.short]))
    .filter((option) => option != null);
  const nearest = nearestName(name, known);
  throw new BuildError('USAGE', `unknown flag "${name}"`, {
    hint: nearest ? `did you mean "${nearest}"?` : 'see tsbuild --help',
  });
}

function createProgram(word: string, context: CommandContext, exit: (status: number) => void): Command {
  const program = new Command('tsbuild')
    .description('Builds container images from Dockerfiles, without a daemon.')
    .version(version, '-V, --version', 'print the version')
    .usage('[build] [OPTIONS] PATH | URL | -\n       tsbuild COMMAND [OPTIONS]')
    .addHelpText('after', EXAMPLES)
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({ outputError: () => undefined });
  const asked = GROUPS.filter(([names]) => names.includes(word));
  for (const [, add] of asked.length > 0 ? asked : GROUPS) add(program, context, exit);
  for (const command of program.commands)
    command.exitOverride().configureOutput({ outputError: () => undefined });
  return program;
}

/** Collects a flag that may come several times. */
const list = (value: string, previous: unknown) => [
  ...(Array.isArray(previous) ? (previous as string[]) : []),
  value,
];

function addBuild(program: Command, context: CommandContext, exit: (status: number) => void): void {
  const command = withStoreOptions(program.command('build'))
    .description('build an image from a Dockerfile (the default command)')
    .argument(
      '<path>',
      'directory with the files for COPY and ADD, a repository, a URL, or - for an archive or a Dockerfile on standard input',
    )
    .optionsGroup('Input:')
    .option('-f, --file <file>', 'the Dockerfile (default: PATH/Dockerfile), - for standard input')
    .option('--build-arg <name=value>', 'set an ARG; without a value, take the environment’s', list)
    .option(
      '--build-arg-file <file>',
      'set ARGs from a file with a NAME=VALUE on each line; repeatable',
      list,
    )
    .option(
      '--build-context <name=value>',
      'a context with a name: DIR, docker-image://NAME, oci-layout://DIR, a repository, a URL; repeatable',
      list,
    )
    .addOption(
      new Option(
        '--context-mode <mode>',
        'modes of context files: keep (default), or git: 0755 and 0644, whatever the umask',
      ).choices(['keep', 'git']),
    )
    .option('--target <stage>', 'build this stage, by name or number')
    .option('--platform <list>', 'platforms of the result, such as linux/amd64,linux/arm64')
    .option('--pull', 'ask the registry for FROM images, even for those of the local store')
    .option(
      '--secret <spec>',
      'a secret for RUN --mount=type=secret: id=NAME,src=FILE or id=NAME,env=NAME',
      list,
    )
    .addOption(
      new Option('--secret-scan <mode>', 'when a layer or the config holds a secret').choices([
        'error',
        'warn',
        'off',
      ]),
    )
    .option(
      '--ssh <spec>',
      'an agent for RUN --mount=type=ssh and git: default, or ID=SOCKET or KEYFILE',
      list,
    )
    .optionsGroup('Result:')
    .option('-t, --tag <name>', 'name of the image; repeatable', list)
    .option(
      '-o, --output <spec>',
      'type=image|docker|oci|local|tar|registry|cacheonly,dest=…; DIR; - (repeatable)',
      list,
    )
    .option('--push', 'push the image to the registries that its names say')
    .option('--load', 'load the image into Docker, which is sent only the layers that it lacks')
    .option('--label <name=value>', 'add a label; repeatable', list)
    .option('--annotation <name=value>', 'add an annotation to the manifest; repeatable', list)
    .option('--iidfile <file>', 'write the image ID to a file')
    .option('--metadata-file <file>', 'write digests and names as JSON to a file')
    .optionsGroup('Steps and cache:')
    .option('--no-cache', 'run every step again')
    .option('--keep-storage <size>', 'prune the store down to this at the end (default: cache.maxSize)')
    .option('--no-cache-filter <stages>', 'run the steps of these stages again', list)
    .option(
      '--cache-from <spec>',
      'a cache to look up what the store lacks: NAME, type=registry,ref=NAME, type=local,src=DIR, …; repeatable',
      list,
    )
    .option(
      '--cache-to <spec>',
      'write the steps to a cache: type=registry,ref=NAME,mode=max, type=local,dest=DIR, …; repeatable',
      list,
    )
    .option(
      '--explain',
      'say of every step why it is cached or not; --explain=json prints it to standard output',
    )
    .addOption(new Option('--explain-as <format>').hideHelp())
    .option('--jobs <number>', 'RUN steps at once (default: the number of CPUs)')
    .option('--network <mode>', 'network of RUN: default, none or host')
    .option('--add-host <host:ip>', 'add a line to /etc/hosts of RUN; repeatable', list)
    .option(
      '--allow <right>',
      'let the Dockerfile ask for network.host or security.insecure; repeatable',
      list,
    )
    .option('--shm-size <size>', 'size of /dev/shm of RUN, such as 128m')
    .option('--ulimit <name=soft:hard>', 'a limit of RUN, such as nofile=1024:2048; repeatable', list)
    .option('--timeout <duration>', 'end the build after so long, such as 90s or 10m')
    .option('--step-timeout <duration>', 'end a RUN after so long')
    .option('--idle-timeout <duration>', 'end a RUN that prints nothing for so long')
    .option(
      '--on-fail-export <path=dest>',
      'copy a file or directory out of a RUN that fails; repeatable',
      list,
    )
    .option('--keep-going', 'after a failure, still run and cache what does not depend on it')
    .option(
      '--resource <limits>',
      'limits of each RUN, or with scope=build of all: memory=1g,cpus=2,pids=500, …; repeatable',
      list,
    )
    .option('--verify-reproducible', 'build twice, and name what differs')
    .optionsGroup('Checks (nothing is built):')
    .option('--check', 'ask the rules of docs/rules; exit status 1 when one finds something')
    .option('--check-extra', 'the same with tsbuild’s own set of rules')
    .option(
      '--call <method>',
      'check, outline, targets, convertllb or describe, which lists them; ,format=json for machines',
    )
    .optionsGroup('Display:')
    .addOption(
      new Option('--progress <mode>', 'how progress is shown on standard error').choices([...PROGRESS_MODES]),
    )
    .option('-q, --quiet', 'print the image ID only');
  for (const flag of IGNORED) command.addOption(new Option(flag).hideHelp());
  for (const flag of ['--provenance <value>', '--sbom <value>'])
    command.addOption(new Option(flag).hideHelp());
  command.action(async (path: string, options) => {
    const { runBuild } = await import('./commands/build.js');
    exit(await runBuild(path, options, context));
  });
}

function addBake(program: Command, context: CommandContext, exit: (status: number) => void): void {
  withStoreOptions(program.command('bake'))
    .description('build the targets of docker-bake.hcl, docker-bake.json or compose.yaml')
    .argument('[target...]', 'targets, groups, or patterns such as "app-*" (default: default)')
    .option('-f, --file <file>', 'a bake file, - for standard input; repeatable', list)
    .option('--set <target.key=value>', 'set a key of targets, += to add; repeatable', list)
    .option('--var <name=value>', 'set a variable; repeatable', list)
    .option('--print', 'print the targets as JSON, build nothing')
    .option('--list <what>', 'targets or variables, or type=targets,format=json')
    .option('--no-cache', 'run every step again')
    .option('--pull', 'ask the registry for FROM images')
    .option('--push', 'push the images of targets that have no other output')
    .option('--load', 'load the images of targets that have no other output into Docker (type=docker)')
    .option('--provenance <value>', 'the same as --set *.attest=type=provenance')
    .option('--sbom <value>', 'the same as --set *.attest=type=sbom')
    .option('--allow <right>', 'let targets ask for network.host or security.insecure; repeatable', list)
    .option('--jobs <number>', 'RUN steps of a target at once (default: the number of CPUs)')
    .option('--metadata-file <file>', 'write digests and names of each target as JSON to a file')
    .addOption(
      new Option('--progress <mode>', 'how progress is shown on standard error').choices([...PROGRESS_MODES]),
    )
    .option('-q, --quiet', 'print the image IDs only')
    .action(async (targets: string[], options) => {
      const { runBake } = await import('./commands/bake.js');
      exit(await runBake(targets, options, context));
    });
}

function addImageCommands(program: Command, context: CommandContext): void {
  const load = () => import('./commands/images.js');
  withStoreOptions(program.command('images'))
    .description('list the images of the local store')
    .option('--format <format>', 'table or json', 'table')
    .option('-q, --quiet', 'print image IDs only')
    .action(async (options) => (await load()).printImages(options, context));
  withStoreOptions(program.command('inspect'))
    .description('print an image’s config as JSON')
    .argument('<image...>')
    .action(async (names: string[], options: GlobalOptions) =>
      (await load()).printInspection(names, options, context),
    );
  withStoreOptions(program.command('history'))
    .description('print the steps that made an image')
    .argument('<image>')
    .option('--no-trunc', 'print whole lines')
    .option('--format <format>', 'table or json', 'table')
    .action(async (name: string, options) => (await load()).printHistory(name, options, context));
  withStoreOptions(program.command('tag'))
    .description('give an image another name')
    .argument('<source>')
    .argument('<target>')
    .action(async (source: string, target: string, options: GlobalOptions) =>
      (await load()).tag(source, target, options, context),
    );
  withStoreOptions(program.command('rmi'))
    .description('take names away from images')
    .argument('<image...>')
    .action(async (names: string[], options: GlobalOptions) =>
      (await load()).remove(names, options, context),
    );
}

function addTransferCommands(program: Command, context: CommandContext): void {
  const load = () => import('./commands/transfer.js');
  const progress = new Option('--progress <mode>', 'how progress is shown on standard error').choices([
    ...PROGRESS_MODES,
  ]);
  withStoreOptions(program.command('save'))
    .description('write images into an archive')
    .argument('<image...>')
    .requiredOption('-o, --output <file>', 'the archive, - for standard output')
    .option('--format <format>', 'docker (for docker load) or oci', 'docker')
    .action(async (names: string[], options) => (await load()).save(names, options, context));
  withStoreOptions(program.command('load'))
    .description('take images out of a docker or OCI archive')
    .option('-i, --input <file>', 'the archive', '-')
    .action(async (options) => (await load()).load(options, context));
  withStoreOptions(program.command('import'))
    .description('make an image of a root file system')
    .argument('<tar>', 'the archive, - for standard input')
    .argument('<name>')
    .option('--platform <platform>', 'platform of the image')
    .action(async (input: string, name: string, options) =>
      (await load()).importTar(input, name, options, context),
    );
  withStoreOptions(program.command('pull'))
    .description('download an image')
    .argument('<image>')
    .option('--platform <platform>', 'platform of an image that has several')
    .addOption(progress)
    .action(async (name: string, options) => (await load()).pull(name, options, context));
  withStoreOptions(program.command('push'))
    .description('upload an image')
    .argument('<image>')
    .addOption(progress)
    .action(async (name: string, options) => (await load()).push(name, options, context));
}

function addRun(program: Command, context: CommandContext, exit: (status: number) => void): void {
  withStoreOptions(program.command('run'))
    .description('run an image; what it writes is thrown away')
    .argument('<image>')
    .argument('[command...]')
    .option('-e, --env <name=value>', 'set a variable; repeatable', list)
    .option('-u, --user <user>', 'user, as in USER')
    .option('-w, --workdir <dir>', 'working directory')
    .option('--entrypoint <program>', 'in place of the image’s entrypoint')
    .option('--network <mode>', 'default, none or host')
    .option('--hostname <name>', 'host name (default: tsbuild)')
    .option('--add-host <host:ip>', 'add a line to /etc/hosts; repeatable', list)
    .option(
      '-v, --volume <source:target>',
      'show a directory or file of the host, :ro for reading; repeatable',
      list,
    )
    .option(
      '--tmpfs <path[:options]>',
      'memory as a directory, such as /tmp:size=64m,mode=1777; repeatable',
      list,
    )
    .option(
      '-p, --publish <ports>',
      'a TCP port of the host that leads to the program, [ADDRESS:][PORT:]PORT; repeatable',
      list,
    )
    .option('-i, --interactive', 'the program reads standard input; without it, it reads nothing')
    .option('-t, --tty', 'the program has a terminal, where this one is')
    .option('--init', 'an init hands signals on to the program and waits for its orphans')
    .option('--read-only', 'the image’s files cannot be written to')
    .option('--cap-add <name>', 'a capability beside Docker’s; repeatable', list)
    .option('--cap-drop <name>', 'without this capability, or ALL; repeatable', list)
    .option('-m, --memory <size>', 'limit of memory, such as 512m')
    .option('--memory-swap <size>', 'limit of memory and swap together; -1 is none')
    .option('--cpus <number>', 'CPUs’ worth of time, such as 1.5')
    .option('-c, --cpu-shares <number>', 'share of the time where CPUs are scarce; 1024 is the usual')
    .option('--cpuset-cpus <list>', 'run on these CPUs, such as 0-1')
    .option('--pids-limit <number>', 'limit of processes and threads')
    .option('--ulimit <name=soft:hard>', 'a limit, such as nofile=1024:2048; repeatable', list)
    .option('--shm-size <size>', 'size of /dev/shm, such as 128m')
    .addOption(new Option('--rm').hideHelp())
    .passThroughOptions()
    .action(async (image: string, command: string[], options) => {
      const { runRun } = await import('./commands/run.js');
      exit(await runRun(image, command, options, context));
    });
}

function addStoreCommands(program: Command, context: CommandContext, exit: (status: number) => void): void {
  const load = () => import('./commands/disk.js');
  withStoreOptions(program.command('du'))
    .description('print what the store takes on disk, and what prune would free')
    .option('--verbose', 'every layer, cache mount, source, record and log with what keeps it')
    .option('--format <format>', 'table or json', 'table')
    .action(async (options) => (await load()).printUsage(options, context));
  withStoreOptions(program.command('prune'))
    .description('remove what neither an image nor a running build needs')
    .option('-a, --all', 'also the records and unpacked layers of images, which stay')
    .option('--filter <filter>', 'until=24h, type=…, id=…, description~=…; repeatable', list)
    .option('--keep-storage <size>', 'keep so much; the same as --reserved-space')
    .option('--reserved-space <size>', 'keep so much')
    .option('--max-used-space <size>', 'remove only what is above this size')
    .option('--min-free-space <size>', 'remove only until so much of the disk is free')
    .option('--dry-run', 'say what would go, and why')
    .option('-f, --force', 'do not ask')
    .option('--format <format>', 'table or json', 'table')
    .action(async (options) => (await load()).runPrune(options, context));
  withStoreOptions(program.command('doctor'))
    .description('examine this machine, or with --store everything that the store keeps')
    .option(
      '--store',
      'check every blob, image, record and layer; what is damaged is set aside (exit status 4)',
    )
    .option('--quick', 'with --store: sizes and attributes only, no contents')
    .option('--format <format>', 'text or json', 'text')
    .action(async (options) => {
      const { runDoctor } = await import('./commands/doctor.js');
      exit(await runDoctor(options, context));
    });
}

function addDebug(program: Command, context: CommandContext, exit: (status: number) => void): void {
  withStoreOptions(program.command('debug'))
    .description('a shell where a RUN failed, on its files as it left them; without an ID, list what is kept')
    .usage('[OPTIONS] [ID] [-- COMMAND…]')
    .argument('[id]')
    .argument('[command...]')
    .action(async (id: string | undefined, command: string[], options: GlobalOptions) => {
      const { runDebug } = await import('./commands/debug.js');
      exit(await runDebug(id, command, options, context));
    });
}

function addWhy(program: Command, context: CommandContext): void {
  withStoreOptions(program.command('why'))
    .description('say why steps of the last build ran or were cached')
    .argument('[step]', 'its number, STAGE/NUMBER, STAGE/TEXT, or the start of its text (default: all steps)')
    .argument('[path]', 'the context of that build (default: the last build of all)')
    .option('-f, --file <file>', 'the Dockerfile of that build')
    .addOption(new Option('--format <format>', 'text or json').choices(['text', 'json']).default('text'))
    .action(async (step: string | undefined, path: string | undefined, options) =>
      (await import('./commands/why.js')).printWhy(step, path, options, context),
    );
}

function addVersion(program: Command): void {
  program
    .command('version')
    .description('print the version')
    .action(() => void process.stdout.write(`tsbuild ${version}\n`));
}

function withStoreOptions(command: Command): Command {
  return command
    .option('--root <dir>', 'state root (default: $TSBUILD_ROOT, /var/lib/tsbuild, ~/.local/share/tsbuild)')
    .option('--config <file>', 'config file (default: $TSBUILD_CONFIG, ~/.config/tsbuild/config.yaml)')
    .option('-D, --debug', 'print stack traces');
}
