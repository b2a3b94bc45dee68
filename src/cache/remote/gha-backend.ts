import { createHash } from 'node:crypto';
import { BuildError } from '../../errors.js';
import { type Digest, digestHex, digestOf } from '../../oci/digest.js';
import type { CacheBackend } from './cache-backend.js';
import type { CacheDirection, CacheSpec } from './cache-spec.js';
import { type ActionsService, createServiceV1, createServiceV2 } from './gha-service.js';

const DOCUMENT_BYTES = 64 << 20;
const CAN_WRITE = 2;
/** Exports at the same time take the next number each; more of them than this give up. */
const MOST_RACES = 5;

/**
 * The cache of GitHub Actions, with BuildKit's keys: `buildkit-blob-1-DIGEST` for blobs; the document, which cannot be
 * replaced, as `index-SCOPE-1-REF#NUMBER`, of which the newest counts. The job's token says which branches' caches it may
 * read, its own first, and which it may write.
 */
export function createActionsBackend(
  spec: CacheSpec,
  direction: CacheDirection,
  env: NodeJS.ProcessEnv = process.env,
): CacheBackend {
  const { scope = 'buildkit' } = spec.attributes;
  const place = `GitHub Actions cache "${scope}"`;
  const { service, token, url } = serviceOf(spec, direction, env, place);
  const branches = branchesOf(token);
  const blobKey = (digest: Digest) => `buildkit-blob-1-${digest}`;
  const indexKey = (ref: string) => `index-${scope}-1-${digestHex(digestOf(ref)).slice(0, 8)}`;
  return {
    place,
    origin: `cache://${createHash('sha256').update(url).digest('hex')}`,
    form: 'config',
    resolve: async (signal) => {
      for (const { Scope } of branches) {
        const found = await service.find(indexKey(Scope), signal);
        if (found) return (await service.download(found.url, signal)).bytes(DOCUMENT_BYTES);
      }
      return undefined;
    },
    publish: async ({ bytes }, signal) => {
      const branch = branches.find(({ Permission }) => (Permission & CAN_WRITE) !== 0);
      if (!branch)
        throw new BuildError('CACHE_FAILED', `${place}: this job's token may not write to it`, {
          hint: 'jobs of pull requests from forks only read',
        });
      const key = indexKey(branch.Scope);
      const open = async function* () {
        yield bytes;
      };
      const found = await service.find(key, signal);
      let number = Number(/#(\d+)$/.exec(found?.key ?? '')?.[1] ?? 0);
      for (let race = 0; race < MOST_RACES; race++) {
        number += 1;
        if (await service.save(`${key}#${number}`, bytes.length, open, signal)) return;
      }
      throw new BuildError('CACHE_FAILED', `${place}: other jobs replace the cache all the time`);
    },
    has: async ({ digest }, signal) => {
      const found = await service.find(blobKey(digest), signal);
      return found?.key === blobKey(digest);
    },
    get: async function* ({ digest }, signal) {
      const found = await service.find(blobKey(digest), signal);
      if (!found) throw new BuildError('CACHE_FAILED', `${place} has no blob ${digest} any more`);
      yield* (await service.download(found.url, signal)).body;
    },
    put: async ({ digest, size }, open, { signal }) => {
      await service.save(blobKey(digest), size, open, signal);
    },
  };
}

function serviceOf(
  { attributes }: CacheSpec,
  direction: CacheDirection,
  env: NodeJS.ProcessEnv,
  place: string,
): { service: ActionsService; token: string; url: string } {
  const token = attributes['token'] || env['ACTIONS_RUNTIME_TOKEN'];
  const second = attributes['url_v2'] || (attributes['url'] ? undefined : env['ACTIONS_RESULTS_URL']);
  const url = second || attributes['url'] || env['ACTIONS_CACHE_URL'];
  if (!token || !url) {
    const name = token ? 'url_v2' : 'token';
    throw new BuildError('USAGE', `--cache-${direction} type=gha has no "${name}"`, {
      hint: 'in a workflow, let crazy-max/ghaction-github-runtime set ACTIONS_RUNTIME_TOKEN and ACTIONS_RESULTS_URL',
    });
  }
  const base = url.endsWith('/') ? url : `${url}/`;
  const create = second ? createServiceV2 : createServiceV1;
  return { service: create({ base, token, place }), token, url: base };
}

interface Branch {
  readonly Scope: string;
  readonly Permission: number;
}

/** The claim `ac` of the job's token; a token that says nothing may do all. */
function branchesOf(token: string): readonly Branch[] {
  try {
    const claims = JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString('utf8')) as {
      ac: string;
    };
    const branches = JSON.parse(claims.ac) as Branch[];
    if (branches.length > 0) return branches;
  } catch {
    // No token of a job.
  }
  return [{ Scope: '', Permission: CAN_WRITE }];
}
