// Records the caches that BuildKit exports for the cases of test/unit/cache/remote/buildkit-cases.ts.
//   npx tsx scripts/record-buildkit-cache.ts REGISTRY [DOCKER]
// REGISTRY: host:port of one on loopback. DOCKER: a client with buildx (default: docker on PATH) whose engine, as DOCKER_HOST says,
// is Docker 28 or newer with its containerd image store; it must have a network for RUN.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CacheConfig } from '../src/cache/remote/cache-config.js';
import type { ImageConfig } from '../src/oci/image-config.js';
import type { ImageIndex, Manifest } from '../src/oci/manifest.js';
import { makeBaseRootfs } from '../test/kit/base-image.js';
import { makeContext } from '../test/kit/context.js';
import { BASE, BUILDKIT_CASES, CASE_CONTEXT } from '../test/unit/cache/remote/buildkit-cases.js';

const [registry, docker = 'docker'] = process.argv.slice(2);
const base = `${registry}/base:recorded`;
const work = mkdtempSync(join(tmpdir(), 'buildkit-record-'));

function build(dir: string, ...args: string[]): void {
  const flags = ['buildx', 'build', '--provenance=false', '--no-cache', ...args, dir];
  execFileSync(docker, flags, { stdio: ['ignore', 'ignore', 'pipe'], maxBuffer: 1 << 28 });
}

async function fromRegistry<T>(path: string): Promise<{ digest: string; body: T }> {
  const accept =
    'application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json';
  const response = await fetch(`http://${registry}/v2/base/${path}`, { headers: { accept } });
  return { digest: response.headers.get('docker-content-digest') ?? '', body: (await response.json()) as T };
}

function exportedCache(dir: string) {
  const read = <T>(digest: string) =>
    JSON.parse(readFileSync(join(dir, 'blobs', digest.replace(':', '/')), 'utf8')) as T;
  const index = JSON.parse(readFileSync(join(dir, 'index.json'), 'utf8')) as ImageIndex;
  const { config, layers } = read<Manifest>(index.manifests[0]!.digest);
  return { blobs: layers, ...read<CacheConfig>(config.digest) };
}

try {
  const baseContext = join(work, 'base');
  makeBaseRootfs(join(baseContext, 'rootfs'));
  writeFileSync(join(baseContext, 'Dockerfile'), 'FROM scratch\nCOPY rootfs /\n');
  build(baseContext, '-t', base, '--push');
  const { digest, body: manifest } = await fromRegistry<Manifest>('manifests/recorded');
  const { body: config } = await fromRegistry<ImageConfig>(`blobs/${manifest.config.digest}`);
  const cases: Record<string, unknown> = {};
  for (const [name, text] of Object.entries(BUILDKIT_CASES)) {
    const dir = join(work, 'context');
    rmSync(dir, { recursive: true, force: true });
    mkdirSync(dir, { mode: 0o755 });
    makeContext(CASE_CONTEXT, dir);
    writeFileSync(join(work, 'Dockerfile'), text.replaceAll(BASE, base));
    const cache = join(work, 'cache');
    rmSync(cache, { recursive: true, force: true });
    build(dir, '-f', join(work, 'Dockerfile'), '--cache-to', `type=local,dest=${cache},mode=max`);
    cases[name] = exportedCache(cache);
    console.error(name);
  }
  const recorded = { base: { digest, diffIds: config.rootfs.diff_ids, config: config.config }, cases };
  const file = join(import.meta.dirname, '../test/unit/cache/remote/buildkit-recorded.json');
  writeFileSync(file, `${JSON.stringify(recorded, null, 1)}\n`);
} finally {
  rmSync(work, { recursive: true });
}
