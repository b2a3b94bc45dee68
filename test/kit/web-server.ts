import { readFileSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

export interface WebFile {
  readonly body?: string | Buffer;
  readonly headers?: Readonly<Record<string, string>>;
  readonly status?: number;
}

/** A web server on a free port of 127.0.0.1. */
export interface WebServer {
  readonly url: string;
  /** Files by path; a path that is not here is looked up in `directory`. */
  readonly files: Map<string, WebFile>;
  /** `METHOD path`, with what was asked for, in order. */
  readonly requests: { readonly line: string; readonly headers: IncomingMessage['headers'] }[];
  stop(): Promise<void>;
}

/** Answers If-None-Match with 304 where a file has that ETag. */
export async function startWebServer(directory?: string): Promise<WebServer> {
  const files = new Map<string, WebFile>();
  const requests: WebServer['requests'] = [];
  const server = createServer((request, response) => {
    const path = decodeURIComponent(request.url!.split('?')[0]!);
    requests.push({ line: `${request.method} ${path}`, headers: request.headers });
    const file = files.get(path) ?? (directory === undefined ? undefined : fileOf(directory, path));
    if (!file) return response.writeHead(404).end();
    const etag = file.headers?.['etag'];
    if (etag !== undefined && request.headers['if-none-match'] === etag)
      return response.writeHead(304, { etag }).end();
    response.writeHead(file.status ?? 200, file.headers).end(file.body ?? '');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    files,
    requests,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function fileOf(directory: string, path: string): WebFile | undefined {
  const file = join(directory, path);
  if (!statSync(file, { throwIfNoEntry: false })?.isFile()) return undefined;
  return { body: readFileSync(file) };
}
