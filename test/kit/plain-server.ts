import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface PlainServer {
  readonly server: Server;
  readonly port: number;
}

/** A web server on any port of the address; it says where it listens: `on 127.0.0.1`. */
export async function servePlain(address: string): Promise<PlainServer> {
  const server = createServer((_, response) => response.end(`on ${address}\n`));
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  return { server, port: (server.address() as AddressInfo).port };
}
