import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BuildError } from '../errors.js';
import type { LockAcquirer } from '../graph/contract.js';
import type { Descriptor } from '../oci/descriptor.js';
import { MEDIA_TYPES } from '../oci/descriptor.js';
import { isImageIndex } from '../oci/image-documents.js';
import type { ImageIndex } from '../oci/manifest.js';
import { formatReference, isReference, parseReference, type Reference } from '../oci/reference.js';
import { replaceFile } from './checked-file.js';
import type { ContentStore } from './content-store.js';

export const NAME_ANNOTATION = 'io.containerd.image.name';
export const TAG_ANNOTATION = 'org.opencontainers.image.ref.name';

export interface StoredImage {
  /** Full name: `docker.io/library/alpine:latest`. */
  readonly name: string;
  readonly descriptor: Descriptor;
}

/**
 * Names of images: `content/index.json`, so that the content store is an OCI image layout that other tools read. A name
 * stands for one manifest or index; its blobs lie beside it. Changes are made under a lock, whole or not at all.
 */
export class ImageStore {
  readonly #content: ContentStore;
  readonly #lock: LockAcquirer;
  readonly #path: string;
  #cached: { stamp: string; images: readonly StoredImage[] } | undefined;

  constructor({ content, lock }: { content: ContentStore; lock: LockAcquirer }) {
    this.#content = content;
    this.#lock = lock;
    this.#path = join(content.root, 'index.json');
  }

  /** What `reference` stands for. A reference with a digest is found under any name that has that digest. */
  find(reference: Reference): Descriptor | undefined {
    const images = this.list();
    if (reference.digest !== undefined) {
      const digest = reference.digest;
      const prefix = `${reference.domain}/${reference.repository}`;
      return images.find((image) => image.descriptor.digest === digest && image.name.startsWith(prefix))
        ?.descriptor;
    }
    const name = formatReference(reference);
    return images.find((image) => image.name === name)?.descriptor;
  }

  /** All names, sorted. One stat where nothing changed. */
  list(): readonly StoredImage[] {
    const stat = statSync(this.#path, { throwIfNoEntry: false });
    if (!stat) return [];
    const stamp = `${stat.ino} ${stat.mtimeMs} ${stat.size}`;
    if (this.#cached?.stamp !== stamp) this.#cached = { stamp, images: this.#read() };
    return this.#cached.images;
  }

  /** Gives `descriptor` those names, in place of what had them. Writes nothing when they say so already. */
  async set(names: readonly string[], descriptor: Descriptor): Promise<void> {
    const isSet = (name: string) =>
      this.list().some((image) => image.name === name && isSameBlob(image.descriptor, descriptor));
    if (names.every(isSet)) return;
    using _lock = await this.#lock('images');
    const others = this.#read().filter((image) => !names.includes(image.name));
    this.#write([...others, ...names.map((name) => ({ name, descriptor }))]);
  }

  /** Takes the name away; the blobs stay. Gives what it stood for. */
  async remove(reference: Reference): Promise<Descriptor | undefined> {
    const name = formatReference(reference);
    using _lock = await this.#lock('images');
    const images = this.#read();
    const found = images.find((image) => image.name === name);
    if (found) this.#write(images.filter((image) => image !== found));
    return found?.descriptor;
  }

  #read(): readonly StoredImage[] {
    let text: string;
    try {
      text = readFileSync(this.#path, 'utf8');
    } catch {
      return [];
    }
    try {
      return (JSON.parse(text) as ImageIndex).manifests.flatMap((descriptor) => {
        const {
          [NAME_ANNOTATION]: name,
          [TAG_ANNOTATION]: _tag,
          ...annotations
        } = descriptor.annotations ?? {};
        if (name === undefined) return [];
        if (!isReference(name)) throw new Error(`"${name}" is no name of an image`);
        if (!isImageIndex({ manifests: [descriptor] }))
          throw new Error(`what it says of "${name}" is damaged`);
        const { annotations: _all, ...rest } = descriptor;
        return [
          { name, descriptor: Object.keys(annotations).length === 0 ? rest : { ...rest, annotations } },
        ];
      });
    } catch (error) {
      throw new BuildError(
        'STORE_DAMAGED',
        `the image list "${this.#path}" cannot be read: ${(error as Error).message}`,
        {
          cause: error,
          hint: 'move it away; images have to be pulled or built again under their names',
        },
      );
    }
  }

  #write(images: readonly StoredImage[]): void {
    const sorted = [...images].sort((a, b) => (a.name < b.name ? -1 : 1));
    const index: ImageIndex = {
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociIndex,
      manifests: sorted.map(({ name, descriptor }) => ({
        ...descriptor,
        annotations: {
          ...descriptor.annotations,
          [NAME_ANNOTATION]: name,
          [TAG_ANNOTATION]: parseReference(name).tag ?? '',
        },
      })),
    };
    mkdirSync(this.#content.root, { recursive: true });
    const layout = join(this.#content.root, 'oci-layout');
    if (!statSync(layout, { throwIfNoEntry: false })) writeFileSync(layout, '{"imageLayoutVersion":"1.0.0"}');
    replaceFile(this.#path, JSON.stringify(index));
  }
}

/** With all that a reader of the blob relies on: a list that was damaged may have the digest and not the rest. */
function isSameBlob(a: Descriptor, b: Descriptor): boolean {
  return a.digest === b.digest && a.mediaType === b.mediaType && a.size === b.size;
}
