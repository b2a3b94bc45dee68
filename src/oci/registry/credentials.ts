import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { BuildError } from '../../errors.js';

export interface Credentials {
  readonly username: string;
  readonly password: string;
  /** An OAuth refresh token in place of a password. */
  readonly identityToken?: string;
  /** Where they come from, for messages. */
  readonly origin: string;
}

interface DockerConfig {
  readonly auths?: Readonly<
    Record<string, { auth?: string; username?: string; password?: string; identitytoken?: string }>
  >;
  readonly credsStore?: string;
  readonly credHelpers?: Readonly<Record<string, string>>;
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
  const path = join(env['DOCKER_CONFIG'] || join(env['HOME'] || homedir(), '.docker'), 'config.json');
  const config = readDockerConfig(path);
  if (!config) return undefined;
  const keys =
    domain === 'docker.io'
      ? [HUB_KEY, 'index.docker.io', 'docker.io', 'registry-1.docker.io']
      : [domain, `https://${domain}`, `http://${domain}`];
  for (const key of keys) {
    const helper = config.credHelpers?.[key];
    if (helper) return askHelper(helper, key, env);
  }
  if (config.credsStore) {
    const found = await askHelper(config.credsStore, keys[0]!, env);
    if (found) return found;
  }
  for (const [key, entry] of Object.entries(config.auths ?? {})) {
    if (keys.includes(key.replace(/\/(v[12]\/?)?$/, key === HUB_KEY ? '$&' : '')))
      return fromEntry(entry, path, domain);
  }
  return undefined;
}

function readDockerConfig(path: string): DockerConfig | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
  try {
    return JSON.parse(text) as DockerConfig;
  } catch (error) {
    throw new BuildError('CREDENTIALS_FAILED', `"${path}" is not valid JSON`, {
      cause: error,
      hint: 'mend it, or log in again with docker login',
    });
  }
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
function askHelper(helper: string, key: string, env: NodeJS.ProcessEnv): Promise<Credentials | undefined> {
  const program = `docker-credential-${helper}`;
  return new Promise((resolve, reject) => {
    const child = spawn(program, ['get'], { env, stdio: ['pipe', 'pipe', 'ignore'] });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString('utf8')));
    child.once('error', (error) =>
      reject(
        new BuildError(
          'CREDENTIALS_FAILED',
          `the credential helper "${program}" cannot be run: ${error.message}`,
          { cause: error, hint: "install it, or remove it from Docker's config.json" },
        ),
      ),
    );
    child.once('close', (status) => {
      if (status !== 0) {
        if (/not found/i.test(output)) resolve(undefined);
        else
          reject(
            new BuildError(
              'CREDENTIALS_FAILED',
              `the credential helper "${program}" ended with status ${status}`,
            ),
          );
        return;
      }
      try {
        const { Username: username, Secret: secret } = JSON.parse(output) as {
          Username: string;
          Secret: string;
        };
        const origin = `the credential helper "${program}"`;
        resolve(
          username === '<token>'
            ? { username: '', password: '', identityToken: secret, origin }
            : { username, password: secret, origin },
        );
      } catch (error) {
        reject(
          new BuildError('CREDENTIALS_FAILED', `the credential helper "${program}" answered with no JSON`, {
            cause: error,
          }),
        );
      }
    });
    child.stdin.on('error', () => undefined);
    child.stdin.end(key);
  });
}
