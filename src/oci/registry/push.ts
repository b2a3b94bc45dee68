import { type Descriptor, isIndexType } from '../descriptor.js';
import { parseIndex, parseManifest } from '../image-documents.js';
import type { Digest } from '../digest.js';
import type { Reference } from '../reference.js';
import type { RegistryClient } from './client.js';

export interface PushSource {
  readBytes(descriptor: Descriptor): Promise<Buffer>;
  readBlob(descriptor: Descriptor): AsyncIterable<Uint8Array>;
  /** Where else the blob is: `docker-image://HOST/REPOSITORY`. */
  originOf?(descriptor: Descriptor): string | undefined;
}

export type PushListener = (row: {
  id: string;
  action: string;
  currentBytes: number;
  totalBytes?: number;
  finished: boolean;
}) => void;

const BLOBS_AT_ONCE = 3;

/**
 * Uploads an image or index: the blobs that the registry lacks, then the manifests by digest, then the root under the
 * reference's tag. What exists is not sent again.
 */
export async function pushTree(
  client: RegistryClient,
  reference: Reference,
  root: Descriptor,
  source: PushSource,
  options: { signal: AbortSignal; onProgress?: PushListener | undefined },
): Promise<void> {
  await pushNode(
    client,
    reference,
    root,
    source,
    { ...options, pushed: new Set() },
    reference.tag ?? root.digest,
  );
}

async function pushNode(
  client: RegistryClient,
  reference: Reference,
  node: Descriptor,
  source: PushSource,
  options: { signal: AbortSignal; onProgress?: PushListener | undefined; pushed: Set<Digest> },
  target: string,
): Promise<void> {
  // An index may list one manifest under several platforms.
  if (options.pushed.has(node.digest)) return;
  options.pushed.add(node.digest);
  const bytes = await source.readBytes(node);
  if (isIndexType(node.mediaType)) {
    const { manifests } = parseIndex(bytes, node.digest);
    for (const child of manifests) await pushNode(client, reference, child, source, options, child.digest);
  } else {
    const manifest = parseManifest(bytes, node.digest);
    const blobs = [
      ...new Map([...manifest.layers, manifest.config].map((blob) => [blob.digest, blob])).values(),
    ];
    await inParallel(blobs, BLOBS_AT_ONCE, (blob) => pushBlob(client, reference, blob, source, options));
  }
  await client.pushManifest(reference, target, node.mediaType, bytes, options.signal);
}

async function pushBlob(
  client: RegistryClient,
  reference: Reference,
  blob: Descriptor,
  source: PushSource,
  { signal, onProgress }: { signal: AbortSignal; onProgress?: PushListener | undefined },
): Promise<void> {
  const row = { id: blob.digest, action: 'pushing', totalBytes: blob.size };
  if (
    !(await client.hasBlob(reference, blob.digest, signal)) &&
    !(await mountFrom(source.originOf?.(blob), client, reference, blob, signal))
  ) {
    await client.pushBlob(
      reference,
      blob,
      () =>
        counted(source.readBlob(blob), (currentBytes) =>
          onProgress?.({ ...row, currentBytes, finished: false }),
        ),
      signal,
    );
  }
  onProgress?.({ ...row, currentBytes: blob.size, finished: true });
}

/** Takes a blob over from the repository that `origin` names, where that is of the same registry; says whether it did. */
export async function mountFrom(
  origin: string | undefined,
  client: RegistryClient,
  reference: Reference,
  blob: Descriptor,
  signal: AbortSignal,
): Promise<boolean> {
  const prefix = `docker-image://${reference.domain}/`;
  const repository = origin?.startsWith(prefix) ? origin.slice(prefix.length) : reference.repository;
  return (
    repository !== reference.repository &&
    (await client.mountBlob(reference, blob.digest, repository, signal))
  );
}

async function* counted(
  chunks: AsyncIterable<Uint8Array>,
  report: (bytes: number) => void,
): AsyncIterable<Uint8Array> {
  let bytes = 0;
  for await (const chunk of chunks) {
    yield chunk;
    bytes += chunk.length;
    report(bytes);
  }
}

/** Runs `run` for every item, `width` at once; rejects with the first error. */
export async function inParallel<T>(
  items: readonly T[],
  width: number,
  run: (item: T) => Promise<void>,
): Promise<void> {
  const queue = [...items];
  await Promise.all(
    Array.from({ length: width }, async () => {
      for (let item = queue.shift(); item !== undefined; item = queue.shift()) await run(item);
    }),
  );
}
