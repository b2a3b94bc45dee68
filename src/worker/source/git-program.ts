import { execFile } from 'node:child_process';
import { BuildError, throwIfAborted } from '../../errors.js';
import { findProgram } from '../sys/programs.js';

export interface GitCall {
  readonly args: readonly string[];
  readonly directory?: string;
  /** `-c` settings, which may hold an authorization: they go through the environment, not through the arguments. */
  readonly settings?: Readonly<Record<string, string>>;
  readonly environment?: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

/** Settings under which a checkout has the same bytes on every machine, and runs nothing that a repository brings. */
const SETTINGS: Readonly<Record<string, string>> = {
  'advice.detachedHead': 'false',
  'core.autocrlf': 'false',
  'core.fsmonitor': 'false',
  'core.hooksPath': '/dev/null',
  'core.symlinks': 'true',
  'init.defaultBranch': 'master',
  'protocol.ext.allow': 'never',
};

const MOST_OUTPUT = 64 << 20;

/** Runs git and gives its output. @throws GIT_FAILED with git's own words */
export async function runGit(call: GitCall): Promise<Buffer> {
  throwIfAborted(call.signal);
  const program = findProgram('git');
  if (program === undefined) {
    throw new BuildError('GIT_FAILED', 'the program "git" is not installed', {
      hint: 'install it (package git); ADD of a repository and git contexts need it',
    });
  }
  const settings = Object.entries({ ...SETTINGS, ...call.settings });
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    LC_ALL: 'C',
    GIT_TERMINAL_PROMPT: '0',
    GIT_SSH_COMMAND: process.env['GIT_SSH_COMMAND'] ?? 'ssh -o BatchMode=yes',
    GIT_CONFIG_COUNT: String(settings.length),
    ...call.environment,
  };
  for (const name of ['GIT_DIR', 'GIT_WORK_TREE', 'GIT_INDEX_FILE', 'GIT_OBJECT_DIRECTORY'])
    if (call.environment?.[name] === undefined) delete env[name];
  settings.forEach(([key, value], i) => {
    env[`GIT_CONFIG_KEY_${i}`] = key;
    env[`GIT_CONFIG_VALUE_${i}`] = value;
  });
  return new Promise<Buffer>((resolve, reject) => {
    // The child takes the mask when it starts, which is before execFile returns.
    const umask = process.umask(0o022);
    try {
      execFile(
        program,
        [...call.args],
        { cwd: call.directory, env, signal: call.signal, encoding: 'buffer', maxBuffer: MOST_OUTPUT },
        (error, stdout, stderr) => {
          if (!error) return resolve(stdout);
          if (call.signal.aborted) return reject(call.signal.reason as Error);
          reject(failed(call.args, stderr.toString('utf8'), error));
        },
      );
    } finally {
      process.umask(umask);
    }
  });
}

function failed(args: readonly string[], stderr: string, cause: unknown): BuildError {
  const said = stderr.trim().replace(/(\/\/)[^/@\s]*@/g, '$1');
  const name = args.find((arg) => !arg.startsWith('-')) ?? 'git';
  const hint = /could not read Username|Authentication failed|Permission denied|403/.test(said)
    ? 'for a private repository give --secret id=GIT_AUTH_TOKEN,env=NAME, or --ssh default for ssh'
    : /not found|does not exist|Couldn't find remote ref/i.test(said)
      ? 'check the URL and the name of the branch, tag or commit'
      : 'check the URL and the network';
  return new BuildError('GIT_FAILED', `git ${name} failed: ${said.split('\n').slice(-4).join('; ')}`, {
    cause,
    hint,
  });
}
