import type { Agent, ClientRequest, IncomingMessage } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { BuildError, throwIfAborted } from '../../errors.js';
import { type Digest, isDigest } from '../digest.js';
import { parseJson } from '../json.js';
import { familiarReference, parseReference } from '../reference.js';
import type { EngineEndpoint } from './endpoint.js';

/** An image that an engine has. */
export interface EngineImage {
  /** Of the config, in the containerd store of the manifest or index. */
  readonly id: string;
  readonly diffIds: readonly Digest[];
  /** Manifests whose blobs are all there; told by the containerd store, from Docker 28 on. */
  readonly wholeManifests?: readonly Digest[];
}

/**
 * How an engine keeps images: `chains` are unpacked layers that are found by all diffIDs up to theirs, and nothing else of an
 * image; `blobs` are what was distributed, by digest (the containerd store). Of `unknown` ones nothing is taken for granted.
 */
export type EngineStore = 'chains' | 'blobs' | 'unknown';

/** 1.42 is the first version of the API that may have the containerd store, 1.48 the first that says which blobs are there. */
const [CONTAINERD_VERSION, MANIFESTS_VERSION] = [42, 48];
const MOST_ANSWER_BYTES = 64 << 20;
const CONNECTIONS = 4;
const SILENT_MS = 60_000;
/** What was begun and is not used by then is not about to be. */
const LINGER_MS = 1_000;
const LOAD = '/images/load?quiet=1';
const ABSENT = new Set(['ENOENT', 'EACCES', 'ECONNREFUSED', 'ENOTFOUND', 'EHOSTUNREACH', 'ENETUNREACH']);

interface Answer {
  readonly status: number;
  readonly body: Buffer;
}

/** An archive of which the beginning was sent. */
interface Begun {
  readonly request: ClientRequest;
  readonly answered: Promise<Answer>;
  readonly headBytes: number;
  readonly timer: NodeJS.Timeout;
}

/** Docker's API over a few connections that are kept. Dispose it, or the process waits for them. */
export class EngineClient implements Disposable {
  readonly #endpoint: EngineEndpoint;
  readonly #signal: AbortSignal;
  #agent: Agent | undefined;
  /** What the last answer said: `Docker/20.10.24 (linux)`, `1.41`. */
  #server = '';
  #version = 0;
  #begun: Begun | undefined;
  #isDisposed = false;

  constructor(endpoint: EngineEndpoint, signal: AbortSignal) {
    this.#endpoint = endpoint;
    this.#signal = signal;
  }

  /** `Docker`, `Podman`, or what else it calls itself. Only after a request. */
  get name(): string {
    const name = /^[\w.-]{1,40}/.exec(this.#server)?.[0] ?? 'the engine';
    return name === 'Libpod' ? 'Podman' : name;
  }

  /** By name or ID. */
  async image(name: string): Promise<EngineImage | undefined> {
    const { status, body } = await this.#get(`/images/${encodeName(name)}/json?manifests=1`);
    if (status === 404) return undefined;
    if (status !== 200) throw this.#refused(`tells nothing of "${name}"`, body);
    return readImage(parseJson(body, `what ${this.name} says of "${name}"`));
  }

  /** The IDs of all images, the newest first. */
  async imageIds(): Promise<string[]> {
    const { status, body } = await this.#get('/images/json');
    if (status !== 200) throw this.#refused('does not list its images', body);
    const list = parseJson(body, `the images of ${this.name}`) as readonly {
      Id?: unknown;
      Created?: unknown;
    }[];
    return [...list]
      .sort((a, b) => Number(b.Created) - Number(a.Created))
      .flatMap(({ Id: id }) => (typeof id === 'string' ? [id] : []));
  }

  /** Only after a request. */
  async store(): Promise<EngineStore> {
    if (this.name !== 'Docker') return 'unknown';
    if (this.#version < CONTAINERD_VERSION) return 'chains';
    const { status, body } = await this.#get('/info');
    if (status !== 200) return 'unknown';
    const { DriverStatus: pairs } = parseJson(body, `what ${this.name} says of itself`) as {
      DriverStatus?: unknown;
    };
    const isContainerd = Array.isArray(pairs) && pairs.some((pair) => String(pair).includes('containerd'));
    if (!isContainerd) return 'chains';
    return this.#version < MANIFESTS_VERSION ? 'unknown' : 'blobs';
  }

  /** Gives an image another name, in place of what had it. */
  async tag(id: string, name: string): Promise<void> {
    const familiar = familiarReference(parseReference(name));
    const colon = familiar.lastIndexOf(':');
    const query = new URLSearchParams({ repo: familiar.slice(0, colon), tag: familiar.slice(colon + 1) });
    const { status, body } = await this.#exchange('POST', `/images/${encodeName(id)}/tag?${query}`);
    if (status !== 201) throw this.#refused(`does not take the name "${name}"`, body);
  }

  /**
   * Sends the first bytes of an archive that `load` is to send, at a time when something else has to be done still: Docker then starts
   * the process that unpacks it, which takes it 30 ms. Without `load` within a second the engine hears no more of it, and has nothing of it.
   */
  async beginLoad(head: Uint8Array): Promise<void> {
    try {
      const request = await this.#request('POST', LOAD, ARCHIVE);
      const answered = this.#answered(request);
      const timer = setTimeout(() => this.#giveUp(), LINGER_MS).unref();
      const begun = { request, answered, timer, headBytes: head.length };
      this.#begun = begun;
      // An answer before the end of the archive is none; whatever is wrong with the engine, who loads hears of it.
      const forget = () => this.#begun === begun && this.#giveUp();
      answered.then(forget, forget);
      request.write(head);
    } catch {
      return;
    }
  }

  /**
   * Sends an archive of `sizeBytes`, as `docker load` does. The answer is that of the engine: a refusal is an error.
   * @param archive gives it from the start, each time it is called
   * @throws EXPORT_FAILED when the engine refuses it, ENGINE_UNREACHABLE when it goes away
   */
  async load(archive: () => AsyncIterable<Uint8Array>, sizeBytes: number): Promise<void> {
    const { status, body } =
      (await this.#continueLoad(archive)) ??
      (await this.#exchange('POST', LOAD, { archive: archive(), sizeBytes }));
    const error = status === 200 ? streamedError(body) : body;
    if (error !== undefined) throw this.#refused('refuses the image', error);
  }

  /** Undefined where nothing was begun, and where the connection broke since. */
  async #continueLoad(archive: () => AsyncIterable<Uint8Array>): Promise<Answer | undefined> {
    const begun = this.#begun;
    if (!begun) return undefined;
    clearTimeout(begun.timer);
    this.#begun = undefined;
    try {
      return await sendAll(begun.request, begun.answered, withoutFirst(begun.headBytes, archive()));
    } catch (error) {
      throwIfAborted(this.#signal);
      if (error instanceof BuildError) throw error;
      return undefined;
    }
  }

  #giveUp(): void {
    clearTimeout(this.#begun?.timer);
    this.#begun?.request.destroy();
    this.#begun = undefined;
  }

  [Symbol.dispose](): void {
    this.#isDisposed = true;
    this.#giveUp();
    this.#agent?.destroy();
  }

  #get(path: string): Promise<Answer> {
    return this.#exchange('GET', path);
  }

  async #exchange(
    method: 'GET' | 'POST',
    path: string,
    upload?: { readonly archive: AsyncIterable<Uint8Array>; readonly sizeBytes: number },
  ): Promise<Answer> {
    const headers = upload ? { ...ARCHIVE, 'content-length': upload.sizeBytes } : {};
    const request = await this.#request(method, path, headers);
    // Unpacking what was sent takes as long as it takes; all else is answered at once.
    if (!upload) request.setTimeout(SILENT_MS, () => request.destroy(new Error('no answer in a minute')));
    try {
      const answered = this.#answered(request);
      if (upload) return await sendAll(request, answered, upload.archive);
      request.end();
      return await answered;
    } catch (error) {
      throwIfAborted(this.#signal);
      if (error instanceof BuildError) throw error;
      const isThere = upload && !ABSENT.has((error as NodeJS.ErrnoException).code ?? '');
      throw isThere
        ? this.#refused('hung up while it took the image', (error as Error).message)
        : unreachable(this.#endpoint.address, error as Error);
    }
  }

  async #request(
    method: 'GET' | 'POST',
    path: string,
    headers: Readonly<Record<string, string | number>>,
  ): Promise<ClientRequest> {
    throwIfAborted(this.#signal);
    const { connection } = this.#endpoint;
    const tls = 'host' in connection ? connection.tls : undefined;
    const http = tls ? await import('node:https') : await import('node:http');
    if (this.#isDisposed) throw new Error('the client was disposed');
    const agent = (this.#agent ??= new http.Agent({ keepAlive: true, maxSockets: CONNECTIONS, ...tls }));
    return http.request({
      // Without TLS no name is needed, and Node takes 3 ms to find that out.
      ...('host' in connection
        ? { host: connection.host, port: connection.port, ...(tls ? {} : { servername: '' }) }
        : { ...connection, servername: '' }),
      agent,
      method,
      path,
      signal: this.#signal,
      headers: { ...('host' in connection ? {} : { host: 'docker' }), 'user-agent': 'tsbuild', ...headers },
    });
  }

  #answered(request: ClientRequest): Promise<Answer> {
    return new Promise<Answer>((resolve, reject) => {
      let response: IncomingMessage | undefined;
      request.once('response', (message) => {
        response = message;
        this.#read(message).then(resolve, reject);
      });
      request.once('error', reject);
      request.once('close', () => response ?? reject(new Error('the connection was closed')));
    });
  }

  async #read(response: IncomingMessage): Promise<Answer> {
    this.#server = String(response.headers.server ?? '');
    this.#version = Number(/^1\.(\d+)$/.exec(String(response.headers['api-version']))?.[1] ?? 0);
    const chunks: Buffer[] = [];
    let sizeBytes = 0;
    for await (const chunk of response as AsyncIterable<Buffer>) {
      sizeBytes += chunk.length;
      if (sizeBytes > MOST_ANSWER_BYTES) throw new Error(`an answer of more than ${MOST_ANSWER_BYTES} bytes`);
      chunks.push(chunk);
    }
    return { status: response.statusCode ?? 0, body: Buffer.concat(chunks) };
  }

  #refused(what: string, body: Buffer | string): BuildError {
    return new BuildError('EXPORT_FAILED', `${this.name} ${what}: ${messageOf(body)}`, {
      hint: `ask it with docker -H ${this.#endpoint.address} info, or write an archive with -o type=docker,dest=FILE`,
    });
  }
}

const ARCHIVE = { 'content-type': 'application/x-tar' };

async function sendAll(
  request: ClientRequest,
  answered: Promise<Answer>,
  archive: AsyncIterable<Uint8Array>,
): Promise<Answer> {
  // An engine that refuses an archive answers before it took all of it, and hangs up.
  const [sent, answer] = await Promise.allSettled([pipeline(readable(archive), request), answered]);
  if (answer.status === 'fulfilled') return answer.value;
  throw sent.status === 'rejected' && sent.reason instanceof BuildError ? sent.reason : answer.reason;
}

async function* withoutFirst(bytes: number, archive: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  let left = bytes;
  for await (const chunk of archive) {
    if (left < chunk.length) yield chunk.subarray(left);
    left = Math.max(0, left - chunk.length);
  }
}

/** Slashes stay: they are part of the path. */
const encodeName = (name: string) => encodeURIComponent(name).replaceAll('%2F', '/').replaceAll('%3A', ':');

/** Tells a layer that cannot be read from a connection that breaks. */
async function* readable(archive: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  try {
    yield* archive;
  } catch (error) {
    if (error instanceof BuildError) throw error;
    throw new BuildError('STORE_DAMAGED', `a layer cannot be read: ${(error as Error).message}`, {
      cause: error,
      hint: 'run tsbuild doctor --store, and build again',
    });
  }
}

interface ImageDocument {
  readonly Id?: unknown;
  readonly RootFS?: { readonly Layers?: unknown } | null;
  readonly Manifests?: unknown;
}

interface ManifestDocument {
  readonly ID?: unknown;
  readonly Available?: unknown;
}

function readImage(document: unknown): EngineImage {
  const { Id: id, RootFS: rootFs, Manifests: manifests } = (document ?? {}) as ImageDocument;
  const digestsOf = (values: unknown): Digest[] =>
    Array.isArray(values)
      ? values.filter((value): value is Digest => typeof value === 'string' && isDigest(value))
      : [];
  const image = { id: String(id), diffIds: digestsOf(rootFs?.Layers) };
  if (!Array.isArray(manifests)) return image;
  const whole = (manifests as readonly (ManifestDocument | null)[]).filter((one) => one?.Available === true);
  return { ...image, wholeManifests: digestsOf(whole.map((manifest) => manifest?.ID)) };
}

/** The answer to an archive is a line of JSON for each thing done; what went wrong stands in the last. */
function streamedError(body: Buffer): string | undefined {
  for (const line of body.toString('utf8').split('\n')) {
    const error = /"error"/.test(line) ? messageOf(line) : undefined;
    if (error !== undefined) return error;
  }
  return undefined;
}

function messageOf(body: Buffer | string): string {
  const text = body.toString().trim();
  try {
    const { message, error } = JSON.parse(text) as { message?: unknown; error?: unknown };
    return String(message ?? error ?? text);
  } catch {
    return text.slice(0, 1000);
  }
}

function unreachable(address: string, cause: Error): BuildError {
  const { code = '' } = cause as NodeJS.ErrnoException;
  const hint = /CERT|SIGNATURE|SSL|TLS/.test(code)
    ? 'give its authority, and your certificate, in DOCKER_CERT_PATH (ca.pem, cert.pem, key.pem)'
    : code === 'EACCES'
      ? 'become a member of the group docker, or name an engine of your own with DOCKER_HOST'
      : 'start it, name another with DOCKER_HOST, or write an archive with -o type=docker,dest=FILE';
  return new BuildError(
    'ENGINE_UNREACHABLE',
    `the engine at "${address}" cannot be reached: ${cause.message || code}`,
    { cause, hint },
  );
}
