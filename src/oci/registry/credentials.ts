import { spawn } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { BuildError } from '../../errors.js';
import { parseJson } from '../json.js';
import { limitHint, LIMITS } from '../limits.js';

export interface Credentials {
  readonly username: string;
  readonly password: string;
  /** An OAuth refresh token in place of a password. */
  readonly identityToken?: string;
  /** Where they come from, for messages. */
  readonly origin: string;
}

interface AuthEntry {
  readonly auth?: string;
  readonly username?: string;
  readonly password?: string;
  readonly identitytoken?: string;
}

interface DockerConfig {
  /** The engine that `docker` talks to, by the name of its context. */
  readonly currentContext: string | undefined;
  readonly auths: Readonly<Record<string, AuthEntry>>;
  readonly credsStore: string | undefined;
  readonly credHelpers: Readonly<Record<string, string>>;
}

/** Docker's name for Docker Hub in its config file. */
const HUB_KEY = 'https://index.docker.io/v1/';

/**
 * Credentials of a registry from Docker's config.json (`$DOCKER_CONFIG`, else ~/.docker) and its credential helpers;
 * undefined where it has none.
 * @throws CREDENTIALS_FAILED
 */
export async function findCredentials(
  domain: string,
  env: NodeJS.ProcessEnv = process.env,
): Promise<Credentials | undefined> {
  const config = readDockerConfig(env);
  if (!config) return undefined;
  const path = configPath(env);
  const keys =
    domain === 'docker.io'
      ? [HUB_KEY, 'index.docker.io', 'docker.io', 'registry-1.docker.io']
      : [domain, `https://${domain}`, `http://${domain}`];
  for (const key of keys) {
    const helper = ownValue(config.credHelpers, key);
    if (helper) return askHelper(helper, key, env);
  }
  if (config.credsStore) {
    const found = await askHelper(config.credsStore, keys[0]!, env);
    if (found) return found;
  }
  for (const [key, entry] of Object.entries(config.auths)) {
    if (keys.includes(key.replace(/\/(v[12]\/?)?$/, key === HUB_KEY ? '$&' : '')))
      return fromEntry(entry, path, domain);
  }
  return undefined;
}

/** `$DOCKER_CONFIG`, else ~/.docker. */
export function dockerConfigDirectory(env: NodeJS.ProcessEnv): string {
  return env['DOCKER_CONFIG'] || join(env['HOME'] || homedir(), '.docker');
}

const configPath = (env: NodeJS.ProcessEnv) => join(dockerConfigDirectory(env), 'config.json');

/** Docker's config.json. Absent is a file that is not there or cannot be read, as for docker. @throws CREDENTIALS_FAILED */
export function readDockerConfig(env: NodeJS.ProcessEnv): DockerConfig | undefined {
  const path = configPath(env);
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat?.isFile()) return undefined;
  if (stat.size > LIMITS.configFileBytes) {
    throw damaged(path, `has ${stat.size} bytes, which is no config file`, limitHint('configFileBytes'));
  }
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch {
    return undefined;
  }
  let data: unknown;
  try {
    data = parseJson(bytes, `"${path}"`);
  } catch (error) {
    // Not the parser's own words: they quote the file, which holds passwords.
    throw damaged(
      path,
      (error as Error).message.includes('nested') ? 'is nested too deep' : 'is not valid JSON',
    );
  }
  return checkDockerConfig(data, path);
}

/** What this module reads has the types that it needs; all else in the file is docker's business. */
function checkDockerConfig(data: unknown, path: string): DockerConfig {
  const top = mapping(data, 'the file', path);
  const { credsStore, currentContext } = top;
  if (credsStore !== undefined && typeof credsStore !== 'string')
    throw damaged(path, 'has a "credsStore" that is no text');
  if (currentContext !== undefined && typeof currentContext !== 'string')
    throw damaged(path, 'has a "currentContext" that is no text');
  const credHelpers = mapping(top['credHelpers'] ?? {}, '"credHelpers"', path);
  const notText = Object.entries(credHelpers).find(([, value]) => typeof value !== 'string');
  if (notText) throw damaged(path, `has a helper of "${notText[0]}" that is no text`);
  const auths = mapping(top['auths'] ?? {}, '"auths"', path);
  for (const [key, value] of Object.entries(auths)) {
    const entry = mapping(value, `the entry of "${key}"`, path);
    for (const name of ['auth', 'username', 'password', 'identitytoken']) {
      if (entry[name] !== undefined && typeof entry[name] !== 'string')
        throw damaged(path, `has a "${name}" of "${key}" that is no text`);
    }
  }
  return {
    currentContext: currentContext || undefined,
    auths: auths as Record<string, AuthEntry>,
    credsStore: credsStore || undefined,
    credHelpers: credHelpers as Record<string, string>,
  };
}

function mapping(value: unknown, what: string, path: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>;
  throw damaged(path, `is not as docker writes it: ${what} is no mapping`);
}

const ownValue = (record: Readonly<Record<string, string>>, key: string) =>
  Object.hasOwn(record, key) ? record[key] : undefined;

function damaged(path: string, why: string, hint?: string): BuildError {
  return new BuildError('CREDENTIALS_FAILED', `"${path}" ${why}`, {
    hint: hint ?? 'mend it, or log in again with docker login',
  });
}

function fromEntry(
  entry: NonNullable<DockerConfig['auths']>[string],
  path: string,
  domain: string,
): Credentials | undefined {
  const origin = `"${path}"`;
  const decoded = entry.auth === undefined ? undefined : Buffer.from(entry.auth, 'base64').toString('utf8');
  const colon = decoded?.indexOf(':') ?? -1;
  if (decoded !== undefined && decoded !== '' && colon < 0) {
    throw new BuildError('CREDENTIALS_FAILED', `the entry of "${domain}" in ${origin} is damaged`, {
      hint: `log in again: docker login ${domain}`,
    });
  }
  const username = colon >= 0 ? decoded!.slice(0, colon) : entry.username;
  const password = colon >= 0 ? decoded!.slice(colon + 1) : (entry.password ?? '');
  if (!username && !entry.identitytoken) return undefined;
  return {
    username: username ?? '',
    password,
    origin,
    ...(entry.identitytoken ? { identityToken: entry.identitytoken } : {}),
  };
}

/** The protocol of docker-credential-helpers: the server's name on stdin, JSON on stdout. */
async function askHelper(
  helper: string,
  key: string,
  env: NodeJS.ProcessEnv,
): Promise<Credentials | undefined> {
  const program = `docker-credential-${helper}`;
  if (helper.includes('/')) throw helperFailed(program, 'has a name with a slash');
  const { status, output } = await runHelper(program, key, env);
  if (status !== 0) {
    if (/not found/i.test(output)) return undefined;
    throw helperFailed(program, `ended with status ${status}`);
  }
  // Nothing of a wrong answer is said: it may hold the password.
  const { Username: username, Secret: secret } = parseAnswer(output);
  if (typeof username !== 'string' || typeof secret !== 'string')
    throw helperFailed(program, 'answered with no JSON that has a Username and a Secret');
  const origin = `the credential helper "${program}"`;
  return username === '<token>'
    ? { username: '', password: '', identityToken: secret, origin }
    : { username, password: secret, origin };
}

function parseAnswer(output: string): { Username?: unknown; Secret?: unknown } {
  try {
    return (JSON.parse(output) as object | null) ?? {};
  } catch {
    return {};
  }
}

/** Bounded in time and in what is read of it. What it started as well ends with it, or would hold its output open. */
function runHelper(
  program: string,
  input: string,
  env: NodeJS.ProcessEnv,
): Promise<{ status: number | null; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, ['get'], { env, stdio: ['pipe', 'pipe', 'ignore'], detached: true });
    const end = (why: string, hint?: string) => {
      clearTimeout(timer);
      try {
        process.kill(-child.pid!, 'SIGKILL');
      } catch {
        // It ended by itself.
      }
      child.stdout.destroy();
      reject(helperFailed(program, why, hint));
    };
    const timer = setTimeout(
      () => end(`has not answered in ${LIMITS.helperMs / 1000} s`, limitHint('helperMs')),
      LIMITS.helperMs,
    );
    child.once('error', (error) => {
      clearTimeout(timer);
      const hint = "install it, or remove it from Docker's config.json";
      reject(helperFailed(program, `cannot be run: ${error.message}`, hint));
    });
    // Where no descriptors were left for its pipes, it has none.
    if (child.pid === undefined) return;
    const parts: Buffer[] = [];
    let sizeBytes = 0;
    child.stdout.on('data', (part: Buffer) => {
      sizeBytes += part.length;
      if (sizeBytes > LIMITS.configFileBytes) end(`answered with more than ${LIMITS.configFileBytes} bytes`);
      else parts.push(part);
    });
    child.once('close', (status) => {
      clearTimeout(timer);
      resolve({ status, output: Buffer.concat(parts).toString('utf8') });
    });
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
  });
}

function helperFailed(program: string, why: string, hint?: string): BuildError {
  return new BuildError('CREDENTIALS_FAILED', `the credential helper "${program}" ${why}`, { hint });
}
