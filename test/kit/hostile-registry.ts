import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** A registry that says what a test wants; everything it was asked is kept. */
export interface HostileRegistry {
  /** `127.0.0.1:PORT` */
  readonly host: string;
  readonly url: string;
  /** By `METHOD /path`, or by path alone; a path may end in `*`. */
  readonly answers: Map<string, Answer>;
  readonly requests: { readonly line: string; readonly authorization: string | undefined }[];
  stop(): Promise<void>;
}

export async function startHostileRegistry(): Promise<HostileRegistry> {
  const answers = new Map<string, Answer>();
  const requests: HostileRegistry['requests'] = [];
  const server = createServer((request, response) => {
    const line = `${request.method} ${request.url!}`;
    requests.push({ line, authorization: request.headers.authorization });
    const path = request.url!.split('?')[0]!;
    const key = [...answers.keys()].find(
      (known) =>
        known === line || known === path || (known.endsWith('*') && path.startsWith(known.slice(0, -1))),
    );
    if (key === undefined) response.writeHead(404).end();
    else answers.get(key)!(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    host,
    url: `http://${host}`,
    answers,
    requests,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

export const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
export const OCI_INDEX = 'application/vnd.oci.image.index.v1+json';

export function sha256(data: string | Buffer): `sha256:${string}` {
  return `sha256:${createHash('sha256').update(data).digest('hex')}`;
}

export function sends(body: string | Buffer, headers: Record<string, string> = {}, status = 200): Answer {
  return (_request, response) => void response.writeHead(status, headers).end(body);
}

export function redirects(location: string, status = 307): Answer {
  return sends('', { location }, status);
}

/** Chunks until the other side has had enough. */
export function sendsForever(headers: Record<string, string> = {}): Answer {
  return (_request, response) => {
    response.writeHead(200, headers);
    const chunk = Buffer.alloc(65_536, 'x');
    const more = () => {
      while (!response.destroyed && response.write(chunk));
    };
    response.on('drain', more);
    more();
  };
}

export interface ServedImage {
  readonly layers: readonly {
    readonly blob: Buffer;
    readonly diffId?: string;
    readonly mediaType?: string;
  }[];
  readonly config?: Record<string, unknown>;
}

/** Serves an image under `repository:tag`, with whatever its parts say of themselves. */
export function serveImage(
  registry: HostileRegistry,
  repository: string,
  { layers, config = {} }: ServedImage,
): { manifest: Buffer; config: Buffer } {
  const prefix = `/v2/${repository}`;
  const configBytes = Buffer.from(
    JSON.stringify({
      architecture: 'amd64',
      os: 'linux',
      rootfs: { type: 'layers', diff_ids: layers.map(({ blob, diffId }) => diffId ?? sha256(blob)) },
      ...config,
    }),
  );
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      config: {
        mediaType: 'application/vnd.oci.image.config.v1+json',
        digest: sha256(configBytes),
        size: configBytes.length,
      },
      layers: layers.map(({ blob, mediaType = 'application/vnd.oci.image.layer.v1.tar' }) => ({
        mediaType,
        digest: sha256(blob),
        size: blob.length,
      })),
    }),
  );
  registry.answers.set(`${prefix}/manifests/latest`, sends(manifest, { 'content-type': OCI_MANIFEST }));
  registry.answers.set(
    `${prefix}/manifests/${sha256(manifest)}`,
    sends(manifest, { 'content-type': OCI_MANIFEST }),
  );
  for (const blob of [configBytes, ...layers.map((layer) => layer.blob)])
    registry.answers.set(`${prefix}/blobs/${sha256(blob)}`, sends(blob));
  return { manifest, config: configBytes };
}
