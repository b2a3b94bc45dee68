import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A proxy before an HTTP server on loopback that remembers what was asked of it. */
export interface RecordingProxy {
  /** `127.0.0.1:PORT`, or the path of its socket. */
  readonly host: string;
  /** `METHOD /path STATUS`, in the order of the answers. */
  readonly requests: string[];
  /** Bytes of the bodies that were sent to the server. */
  uploadedBytes: number;
  /** Done before the server hears of a request. */
  before: (method: string, path: string) => Promise<void>;
  /** While it gives a status, that is the answer, and the server hears nothing; 0 hangs up. */
  refuse: (method: string, path: string) => number | undefined;
  stop(): Promise<void>;
}

/**
 * @param target `HOST:PORT`, or `unix://PATH`
 * @param socket where it listens in place of a port
 */
export async function startRecordingProxy(target: string, socket?: string): Promise<RecordingProxy> {
  const requests: string[] = [];
  const [host, port] = target.split(':');
  const place = target.startsWith('unix://')
    ? { socketPath: target.slice('unix://'.length) }
    : { host, port };
  const proxy: RecordingProxy = {
    host: '',
    requests,
    uploadedBytes: 0,
    before: async () => undefined,
    refuse: () => undefined,
    stop: () => stop(server),
  };
  const forward = (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const { method = 'GET', url = '/', headers } = incoming;
    const answer = (status: number) => requests.push(`${method} ${url} ${status}`);
    const refusal = proxy.refuse(method, url);
    if (refusal !== undefined) {
      answer(refusal);
      if (refusal === 0) return void incoming.socket.destroy();
      incoming.resume();
      outgoing.writeHead(refusal).end();
      return;
    }
    const forwarded = request({ ...place, method, path: url, headers }, (reply) => {
      answer(reply.statusCode!);
      outgoing.writeHead(reply.statusCode!, reply.headers);
      reply.pipe(outgoing);
    });
    forwarded.on('error', () => outgoing.destroy());
    incoming.on('data', (chunk: Buffer) => (proxy.uploadedBytes += chunk.length));
    incoming.on('close', () => incoming.complete || forwarded.destroy());
    incoming.pipe(forwarded);
  };
  const server = createServer((incoming, outgoing) => {
    void proxy.before(incoming.method!, incoming.url!).then(() => forward(incoming, outgoing));
  });
  if (socket === undefined) server.listen(0, '127.0.0.1');
  else server.listen(socket);
  await new Promise((resolve) => server.once('listening', resolve));
  if (socket !== undefined) return Object.assign(proxy, { host: socket });
  return Object.assign(proxy, { host: `127.0.0.1:${(server.address() as AddressInfo).port}` });
}

function stop(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}
