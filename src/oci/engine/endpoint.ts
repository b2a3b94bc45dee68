import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { BuildError } from '../../errors.js';
import { digestHex, digestOf } from '../digest.js';
import { parseJson } from '../json.js';
import { dockerConfigDirectory, readDockerConfig } from '../registry/credentials.js';

/** Where an engine with Docker's API listens. */
export interface EngineEndpoint {
  /** As `DOCKER_HOST` writes it. */
  readonly address: string;
  readonly connection:
    | { readonly socketPath: string }
    | { readonly host: string; readonly port: number; readonly tls?: EngineTls };
}

export interface EngineTls {
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
  readonly rejectUnauthorized: boolean;
}

const SYSTEM_SOCKET = '/var/run/docker.sock';
const PORTS = { plain: 2375, tls: 2376 };

/**
 * The engine that the docker command would talk to: `DOCKER_HOST`, else the context that `DOCKER_CONTEXT` or Docker's config.json
 * names, else the system's socket, else that of the user's own engine. Undefined where none is named and no socket is there.
 * @throws ENGINE_UNREACHABLE for an address that means nothing here, and for a context that is not there
 */
export function findEngine(env: NodeJS.ProcessEnv = process.env): EngineEndpoint | undefined {
  const host = env['DOCKER_HOST'];
  if (host) return parseAddress(host, env['DOCKER_TLS_VERIFY'] ? environmentTls(env) : undefined);
  const context = env['DOCKER_CONTEXT'] || readDockerConfig(env)?.currentContext;
  if (context !== undefined && context !== 'default') return contextEndpoint(context, env);
  const sockets = [
    SYSTEM_SOCKET,
    ...(env['XDG_RUNTIME_DIR'] ? [join(env['XDG_RUNTIME_DIR'], 'docker.sock')] : []),
  ];
  const socket = sockets.find((path) => existsSync(path));
  return socket === undefined ? undefined : parseAddress(`unix://${socket}`, undefined);
}

function parseAddress(address: string, tls: EngineTls | undefined): EngineEndpoint {
  const [, scheme, rest = ''] = /^(?:([a-z]+):\/\/)?(.*)$/.exec(address) ?? [];
  if (scheme === 'unix' && rest !== '') return { address, connection: { socketPath: rest } };
  if (scheme === 'tcp' || scheme === 'http' || scheme === 'https') {
    const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^/:]+))(?::(\d{1,5}))?\/?$/.exec(rest) ?? [];
    const host = bracketed ?? plain;
    const isTls = tls !== undefined || scheme === 'https';
    if (host !== undefined) {
      const connection = {
        host,
        port: port === undefined ? PORTS[isTls ? 'tls' : 'plain'] : Number(port),
        ...(isTls ? { tls: tls ?? { rejectUnauthorized: true } } : {}),
      };
      return { address, connection };
    }
  }
  throw new BuildError('ENGINE_UNREACHABLE', `the address "${address}" of Docker's engine cannot be used`, {
    hint:
      scheme === 'ssh'
        ? `bring its socket here: ssh -NL /tmp/docker.sock:/var/run/docker.sock ${rest}, and DOCKER_HOST=unix:///tmp/docker.sock`
        : 'write unix:///PATH or tcp://HOST:PORT',
  });
}

function environmentTls(env: NodeJS.ProcessEnv): EngineTls {
  return readTls(env['DOCKER_CERT_PATH'] || dockerConfigDirectory(env), true);
}

/** The files that are there, under Docker's names. */
function readTls(directory: string, rejectUnauthorized: boolean): EngineTls {
  const read = (name: string) => {
    const path = join(directory, name);
    return existsSync(path) ? readFileSync(path) : undefined;
  };
  const [ca, cert, key] = [read('ca.pem'), read('cert.pem'), read('key.pem')];
  return {
    rejectUnauthorized,
    ...(ca ? { ca } : {}),
    ...(cert ? { cert } : {}),
    ...(key ? { key } : {}),
  };
}

interface ContextDocument {
  readonly Endpoints?: {
    readonly docker?: { readonly Host?: unknown; readonly SkipTLSVerify?: unknown } | null;
  } | null;
}

/** A context lies in a directory that is named by the digest of its name. */
function contextEndpoint(name: string, env: NodeJS.ProcessEnv): EngineEndpoint {
  const contexts = join(dockerConfigDirectory(env), 'contexts');
  const id = digestHex(digestOf(name));
  const path = join(contexts, 'meta', id, 'meta.json');
  if (!existsSync(path))
    throw new BuildError(
      'ENGINE_UNREACHABLE',
      `the Docker context "${name}" is not there: no file "${path}"`,
      {
        hint: 'see docker context ls, or name the engine with DOCKER_HOST',
      },
    );
  const document = parseJson(readFileSync(path), `"${path}"`) as ContextDocument | null;
  const { Host: host, SkipTLSVerify: skipsCheck } = document?.Endpoints?.docker ?? {};
  if (typeof host !== 'string')
    throw new BuildError('ENGINE_UNREACHABLE', `the Docker context "${name}" names no engine`, {
      hint: 'make it again with docker context create, or name the engine with DOCKER_HOST',
    });
  const tls = join(contexts, 'tls', id, 'docker');
  return parseAddress(host, existsSync(tls) ? readTls(tls, skipsCheck !== true) : undefined);
}
