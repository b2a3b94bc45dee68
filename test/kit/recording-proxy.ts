import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A proxy before an HTTP server on loopback that remembers what was asked of it. */
export interface RecordingProxy {
  /** `127.0.0.1:PORT` */
  readonly host: string;
  /** `METHOD /path STATUS`, in the order of the answers. */
  readonly requests: string[];
  /** While it gives a status, that is the answer, and the server hears nothing. */
  refuse: (method: string, path: string) => number | undefined;
  stop(): Promise<void>;
}

export async function startRecordingProxy(target: string): Promise<RecordingProxy> {
  const requests: string[] = [];
  const [targetHost, targetPort] = target.split(':');
  const proxy: RecordingProxy = {
    host: '',
    requests,
    refuse: () => undefined,
    stop: () => stop(server),
  };
  const server = createServer((incoming, outgoing) => {
    const { method = 'GET', url = '/', headers } = incoming;
    const answer = (status: number) => requests.push(`${method} ${url} ${status}`);
    const refusal = proxy.refuse(method, url);
    if (refusal !== undefined) {
      answer(refusal);
      incoming.resume();
      outgoing.writeHead(refusal).end();
      return;
    }
    const forwarded = request({ host: targetHost, port: targetPort, method, path: url, headers }, (reply) => {
      answer(reply.statusCode!);
      outgoing.writeHead(reply.statusCode!, reply.headers);
      reply.pipe(outgoing);
    });
    forwarded.on('error', () => outgoing.destroy());
    incoming.pipe(forwarded);
  });
  server.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  return Object.assign(proxy, { host: `127.0.0.1:${(server.address() as AddressInfo).port}` });
}

function stop(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}
