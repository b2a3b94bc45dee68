import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { BuildError } from '../../errors.js';
import { type Digest, digestHex, digestOf } from '../../oci/digest.js';
import type { HttpRequest, HttpResponse } from '../../oci/registry/transport.js';
import type { CacheBackend } from './cache-backend.js';
import { requestCache } from './cache-request.js';
import { booleanAttribute, type CacheDirection, type CacheSpec } from './cache-spec.js';
import { encode, type S3Credentials, signS3 } from './s3-signature.js';

const DOCUMENT_BYTES = 64 << 20;
const NO_BODY = createHash('sha256').digest('hex');

interface S3Place {
  readonly text: string;
  readonly region: string;
  readonly base: string;
  readonly credentials: S3Credentials | undefined;
}

/**
 * A bucket of any S3 service, with BuildKit's names of objects: `PREFIX/blobs/DIGEST` and `PREFIX/manifests/NAME`. What the
 * flag does not say comes from AWS's environment variables and credentials file.
 */
export function createS3Backend(
  spec: CacheSpec,
  direction: CacheDirection,
  env: NodeJS.ProcessEnv = process.env,
): CacheBackend {
  const {
    prefix = '',
    blobs_prefix = 'blobs/',
    manifests_prefix = 'manifests/',
    name = 'buildkit',
  } = spec.attributes;
  const names = name.split(';').filter(Boolean);
  const place = placeOf(spec, direction, env);
  const blobKey = (digest: Digest) => `${prefix}${blobs_prefix}${digest}`;
  const documentKey = (one: string) => `${prefix}${manifests_prefix}${one}`;
  const send = (method: HttpRequest['method'], key: string, more: SendOptions) =>
    sendTo(place, method, key, more);
  return {
    place: place.text,
    origin: `cache://${digestHex(digestOf(`${place.base} ${prefix}${blobs_prefix}`))}`,
    form: 'config',
    resolve: async (signal) => {
      const response = await send('GET', documentKey(names[0]!), { accepted: [200, 404], signal });
      if (response.status === 200) return response.bytes(DOCUMENT_BYTES);
      await response.discard();
      return undefined;
    },
    publish: async ({ bytes }, signal) => {
      const bodyHash = digestHex(digestOf(bytes));
      for (const one of names) {
        const body = { open: () => bytes, size: bytes.length, hash: bodyHash };
        await (await send('PUT', documentKey(one), { accepted: [200], signal, body })).discard();
      }
    },
    has: async ({ digest, size }, signal) => {
      const response = await send('HEAD', blobKey(digest), { accepted: [200, 404], signal });
      await response.discard();
      return response.status === 200 && Number(response.header('content-length')) === size;
    },
    get: async function* ({ digest }, signal) {
      yield* (await send('GET', blobKey(digest), { accepted: [200], signal })).body;
    },
    put: async ({ digest, size }, open, { signal }) => {
      const body = { open, size, hash: digestHex(digest) };
      await (await send('PUT', blobKey(digest), { accepted: [200], signal, body })).discard();
    },
  };
}

interface SendOptions {
  readonly accepted: readonly number[];
  readonly signal: AbortSignal;
  readonly body?: {
    readonly open: () => Uint8Array | AsyncIterable<Uint8Array>;
    readonly size: number;
    readonly hash: string;
  };
}

function sendTo(
  place: S3Place,
  method: HttpRequest['method'],
  key: string,
  { accepted, signal, body }: SendOptions,
): Promise<HttpResponse> {
  const url = new URL(`${place.base}/${key.split('/').map(encode).join('/')}`);
  const { region, credentials } = place;
  const bodyHash = body?.hash ?? NO_BODY;
  const prepare = () => ({
    method,
    url: url.href,
    headers: {
      ...(credentials ? signS3({ method, url, region, bodyHash, credentials, now: new Date() }) : {}),
      ...(body ? { 'content-length': String(body.size) } : {}),
    },
    ...(body ? { body: body.open() } : {}),
  });
  return requestCache({ place: place.text, prepare, accepted, signal });
}

function placeOf(spec: CacheSpec, direction: CacheDirection, env: NodeJS.ProcessEnv): S3Place {
  const { attributes } = spec;
  const bucket = attributes['bucket'] || env['AWS_BUCKET'];
  const region = attributes['region'] || env['AWS_REGION'] || env['AWS_DEFAULT_REGION'];
  if (!bucket || !region) {
    throw new BuildError('USAGE', `--cache-${direction} type=s3 needs "${bucket ? 'region' : 'bucket'}"`, {
      hint: `write type=s3,bucket=NAME,region=NAME, or set AWS_BUCKET and AWS_REGION`,
    });
  }
  const endpoint = (attributes['endpoint_url'] || `https://s3.${region}.amazonaws.com`).replace(/\/+$/, '');
  if (!URL.canParse(endpoint))
    throw new BuildError('USAGE', `--cache-${direction} type=s3: endpoint_url is no URL`, {
      hint: 'write endpoint_url=https://HOST',
    });
  const host = new URL(endpoint);
  if (host.username || host.password)
    throw new BuildError('USAGE', `--cache-${direction} type=s3: endpoint_url holds a password`, {
      hint: 'give access_key_id and secret_access_key, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY',
    });
  const isPathStyle = booleanAttribute(spec, 'use_path_style', false);
  const base = isPathStyle ? `${endpoint}/${encode(bucket)}` : `${host.protocol}//${bucket}.${host.host}`;
  const text = `s3://${bucket}/${attributes['prefix'] ?? ''}`;
  return { text, region, base, credentials: credentialsOf(attributes, env) };
}

/** From the flag, else the environment, else AWS's file; without any the requests are anonymous. */
function credentialsOf(
  attributes: CacheSpec['attributes'],
  env: NodeJS.ProcessEnv,
): S3Credentials | undefined {
  const from = (id: string | undefined, secret: string | undefined, token: string | undefined) =>
    id && secret ? { accessKeyId: id, secretAccessKey: secret, sessionToken: token } : undefined;
  const own = from(attributes['access_key_id'], attributes['secret_access_key'], attributes['session_token']);
  return (
    own ??
    from(env['AWS_ACCESS_KEY_ID'], env['AWS_SECRET_ACCESS_KEY'], env['AWS_SESSION_TOKEN']) ??
    fromFile(env)
  );

  function fromFile(variables: NodeJS.ProcessEnv): S3Credentials | undefined {
    const file =
      variables['AWS_SHARED_CREDENTIALS_FILE'] || join(variables['HOME'] || homedir(), '.aws/credentials');
    const profile = readProfile(file, variables['AWS_PROFILE'] || 'default');
    return from(profile['aws_access_key_id'], profile['aws_secret_access_key'], profile['aws_session_token']);
  }
}

function readProfile(file: string, profile: string): Record<string, string> {
  const values: Record<string, string> = {};
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return values;
  }
  let section = '';
  for (const line of text.split('\n')) {
    section = /^\s*\[\s*(.+?)\s*\]/.exec(line)?.[1] ?? section;
    const [, key, value] = /^\s*(\w+)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    if (section === profile && key !== undefined) values[key] = value!;
  }
  return values;
}
