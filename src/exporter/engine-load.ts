import type { BuiltImage } from '../graph/contract.js';
import { BuildError } from '../errors.js';
import type { Descriptor } from '../oci/descriptor.js';
import { type Digest, digestHex, digestOf } from '../oci/digest.js';
import type { Manifest } from '../oci/manifest.js';
import { familiarReference, parseReference } from '../oci/reference.js';
import { EngineClient, type EngineImage } from '../oci/engine/client.js';
import type { EngineEndpoint } from '../oci/engine/endpoint.js';
import { formatBytes } from '../progress.js';
import { type ArchiveFile, archiveBytes, archiveFiles, archiveSize } from './archive.js';
import type { ExportDependencies } from './export-dependencies.js';
import type { StoredPlatform, StoredTree } from './image-tree.js';

/** What is sent without looking for it in all of the engine's images: about as long as asking for them. */
const NOT_WORTH_ASKING_BYTES = 4 << 20;
const MOST_IMAGES_ASKED = 200;

interface Load {
  readonly images: readonly BuiltImage[];
  readonly tree: StoredTree;
  readonly engine: EngineClient;
  readonly deps: ExportDependencies;
}

/** What an engine has under our names, in their order, and the image itself where it is there whole. */
interface Found {
  readonly named: readonly (EngineImage | undefined)[];
  readonly image: EngineImage | undefined;
}

/**
 * Gives an engine the image under its names, and only the layers that it lacks. What it has is asked, never remembered, so that
 * nothing is taken for granted that somebody removed; when something goes between question and archive, the whole image is sent.
 * @throws ENGINE_UNREACHABLE, EXPORT_FAILED
 */
export async function loadIntoEngine(
  images: readonly BuiltImage[],
  tree: StoredTree,
  endpoint: EngineEndpoint,
  deps: ExportDependencies,
): Promise<void> {
  using engine = deps.earlyLoad?.take(endpoint) ?? new EngineClient(endpoint, deps.signal);
  const load: Load = { images, tree, engine, deps };
  if (await isThere(load)) {
    const whole = account(layersOf(tree));
    return deps.onNote(`${engine.name} has this image already, with ${whole}: nothing was sent`);
  }
  // Images of one build have layers in common, which are sent once.
  using _turn = await deps.lock(`engine-${digestHex(digestOf(endpoint.address))}`, {
    signal: deps.signal,
    purpose: `loading into ${endpoint.address}`,
  });
  const store = await engine.store();
  const isOnePlatform = store === 'chains' || engine.name !== 'Docker';
  if (images.length > 1 && isOnePlatform) throw onePlatformOnly(engine.name);
  const known = store === 'unknown' ? new Set<Digest>() : await knownBlobs(store, load);
  if (known.size > 0 && (await sendWithout(known, load))) return deps.onNote(sentNote(known, load));
  await send(new Set(), load);
  if (await isThere(load)) return deps.onNote(sentNote(new Set(), load));
  throw new BuildError('EXPORT_FAILED', `${engine.name} took the image and does not have it`, {
    hint: 'something else removed it meanwhile, or the engine is broken; see its log',
  });
}

/** Whether the engine has the image, whole and under all of its names; it is given the names that it lacks. */
async function isThere(load: Load): Promise<boolean> {
  const { image, named } = await find(load);
  if (!image) return false;
  const { engine, deps } = load;
  for (const [i, name] of deps.names.entries())
    if (named[i]?.id !== image.id) await engine.tag(image.id, name);
  return true;
}

async function find({ tree, engine, deps: { names } }: Load): Promise<Found> {
  const named = await Promise.all(names.map((name) => engine.image(familiar(name))));
  const isOurs = (image: EngineImage | undefined) => image !== undefined && isImage(image, tree);
  let image = named.find(isOurs);
  for (const id of image ? [] : [tree.platforms[0]!.imageId, tree.root.digest])
    image ??= [await engine.image(id)].find(isOurs);
  return { named, image };
}

/** A config names its layers, and an engine that keeps them by their chain has all of them; others may say what is whole. */
function isImage({ id, wholeManifests }: EngineImage, { root, platforms }: StoredTree): boolean {
  if (platforms.length === 1 && id === platforms[0]!.imageId) return true;
  const isWhole = ({ manifest }: StoredPlatform) => wholeManifests?.includes(manifest.digest) ?? true;
  return id === root.digest && platforms.every(isWhole);
}

/** Layers that need not be sent, by the digests of their blobs. */
async function knownBlobs(store: 'chains' | 'blobs', load: Load): Promise<ReadonlySet<Digest>> {
  const { tree, engine, deps } = load;
  const known = new Set<Digest>();
  const look = async (image: EngineImage | undefined): Promise<void> => {
    if (!image) return;
    const blobs = store === 'chains' ? sharedChain(image, load) : await blobsOfManifests(image, load);
    for (const digest of blobs) known.add(digest);
  };
  const isWorthAsking = () =>
    totalBytes(layersOf(tree).filter(({ digest }) => !known.has(digest))) > NOT_WORTH_ASKING_BYTES;
  for (const name of deps.names) await look(await engine.image(familiar(name)));
  if (!isWorthAsking()) return known;
  for (const id of (await engine.imageIds()).slice(0, MOST_IMAGES_ASKED)) {
    await look(await engine.image(id));
    if (!isWorthAsking()) break;
  }
  return known;
}

/** Our layers from the bottom up, as far as the image has the same. One that comes again above is needed for that. */
function sharedChain({ diffIds }: EngineImage, { images, tree }: Load): Digest[] {
  const layers = layersOf(tree).map(({ digest }) => digest);
  const own = images[0]!.layers.map((layer) => layer.diffId);
  const differs = own.findIndex((diffId, i) => diffId !== diffIds[i]);
  const shared = differs < 0 ? layers.length : differs;
  return layers.slice(0, shared).filter((digest) => !layers.includes(digest, shared));
}

/** The layers of manifests that the engine has whole; what they name is read here, where they were built or pulled as well. */
async function blobsOfManifests(
  { wholeManifests }: EngineImage,
  { deps: { content } }: Load,
): Promise<Digest[]> {
  const blobs: Digest[] = [];
  for (const digest of wholeManifests ?? []) {
    if (!content.has(digest)) continue;
    const { layers = [] } = JSON.parse((await content.readBytes(digest)).toString()) as Partial<Manifest>;
    blobs.push(...layers.map((layer) => layer.digest));
  }
  return blobs;
}

/** False where the engine does not take the image without those layers: somebody removed what it had. */
async function sendWithout(known: ReadonlySet<Digest>, load: Load): Promise<boolean> {
  try {
    await send(known, load);
    return await isThere(load);
  } catch (error) {
    if (error instanceof BuildError && error.code === 'EXPORT_FAILED') return false;
    throw error;
  }
}

async function send(known: ReadonlySet<Digest>, { images, tree, engine, deps }: Load): Promise<void> {
  const elsewhere = tree.platforms.flatMap((platform) => [...(platform.elsewhere ?? [])]);
  for (const [digest, layer] of elsewhere)
    if (!known.has(digest)) await deps.layers.ensureBlob(layer, 'keep', deps.signal, deps.onProgress);
  const isDocker = images.length === 1;
  const files = archiveFiles([{ tree, names: deps.names }], deps.content, isDocker, known);
  const sizeBytes = archiveSize(files);
  await engine.load(() => counted(files, sizeBytes, engine.name, deps), sizeBytes);
}

async function* counted(
  files: readonly ArchiveFile[],
  totalBytes: number,
  engine: string,
  { onProgress }: ExportDependencies,
): AsyncIterable<Uint8Array> {
  const row = { id: `to ${engine}`, action: 'sending', totalBytes };
  let currentBytes = 0;
  for await (const chunk of archiveBytes(files)) {
    onProgress({ ...row, currentBytes, finished: false });
    yield chunk;
    currentBytes += chunk.length;
  }
  onProgress({ ...row, currentBytes, finished: true });
}

function sentNote(known: ReadonlySet<Digest>, { tree, engine }: Load): string {
  const layers = layersOf(tree);
  const sent = layers.filter(({ digest }) => !known.has(digest));
  const there = layers.filter(({ digest }) => known.has(digest));
  const rest = there.length === 0 ? '' : `; there already: ${account(there)}`;
  return `sent ${account(sent)} to ${engine.name}${rest}`;
}

function account(layers: readonly Descriptor[]): string {
  return `${layers.length} ${layers.length === 1 ? 'layer' : 'layers'} (${formatBytes(totalBytes(layers))})`;
}

/** The layers of all platforms, from the bottom up. */
function layersOf({ platforms }: StoredTree): Descriptor[] {
  return platforms.flatMap(({ blobs }) => blobs.slice(1));
}

const totalBytes = (blobs: readonly Descriptor[]) => blobs.reduce((sum, { size }) => sum + size, 0);

const familiar = (name: string) => familiarReference(parseReference(name));

function onePlatformOnly(engine: string): BuildError {
  return new BuildError('EXPORT_FAILED', `the image store of ${engine} holds images of one platform only`, {
    hint: 'build one --platform, write -o type=oci,dest=FILE, or let Docker use its containerd image store',
  });
}
