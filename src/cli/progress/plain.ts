import type { ProgressEvent } from '../../progress.js';
import type { Paint } from '../paint.js';
import type { Display } from './display.js';
import { formatBytes, formatSeconds, sanitizeLine } from './format.js';

interface ShownVertex {
  readonly name: string;
  number: number | undefined;
  startedMs: number;
  partial: string;
  /** Why it is cached. */
  reason?: string;
}

/** BuildKit's plain style: `#3 [2/3] RUN make`, `#3 0.123 output`, `#3 DONE 0.4s`. Output is whole, line by line. */
export function createPlainDisplay(write: (text: string) => void, paint: Paint): Display {
  const vertices = new Map<string, ShownVertex>();
  const transfers = new Set<string>();
  let next = 1;
  let last: ShownVertex | undefined;

  const line = (vertex: ShownVertex, text: string) => {
    if (vertex.number === undefined) vertex.number = next++;
    if (last !== vertex) {
      if (last) write('\n');
      write(`${paint.bold(`#${vertex.number} ${vertex.name}`)}\n`);
      last = vertex;
    }
    if (text !== '') write(`#${vertex.number} ${text}\n`);
  };
  const flush = (vertex: ShownVertex, atMs: number) => {
    if (vertex.partial !== '')
      line(vertex, `${((atMs - vertex.startedMs) / 1000).toFixed(3)} ${vertex.partial}`);
    vertex.partial = '';
  };
  const log = (vertex: ShownVertex, atMs: number, data: Uint8Array) => {
    const lines = (vertex.partial + Buffer.from(data).toString('utf8')).split('\n');
    vertex.partial = lines.pop()!;
    for (const text of lines)
      line(vertex, `${((atMs - vertex.startedMs) / 1000).toFixed(3)} ${text.replace(/\r$/, '')}`);
  };
  const end = (vertex: ShownVertex, event: ProgressEvent, text: string) => {
    flush(vertex, event.atMs);
    line(vertex, text);
  };

  const show = (event: ProgressEvent) => {
    if (event.kind === 'announced') {
      vertices.set(event.digest, { name: event.name, number: undefined, startedMs: event.atMs, partial: '' });
      return;
    }
    if (event.kind === 'warning') {
      const place = event.location ? ` (line ${event.location.startLine})` : '';
      write(`${paint.yellow('warning:')} ${event.rule ? `${event.rule}: ` : ''}${event.message}${place}\n`);
      last = undefined;
      return;
    }
    const vertex = event.digest === undefined ? undefined : vertices.get(event.digest);
    if (!vertex) {
      if (event.kind === 'note') write(`${event.message}\n`);
      return;
    }
    switch (event.kind) {
      case 'started':
        vertex.startedMs = event.atMs;
        return line(vertex, '');
      case 'cached':
        end(vertex, event, paint.blue('CACHED'));
        if (vertex.reason !== undefined) line(vertex, paint.dim(vertex.reason));
        return;
      case 'done':
        return end(vertex, event, paint.green(`DONE ${formatSeconds(event.atMs - vertex.startedMs)}`));
      case 'failed':
        return end(vertex, event, paint.red(`ERROR: ${event.message}`));
      case 'canceled':
        return end(vertex, event, 'CANCELED');
      case 'log':
        return log(vertex, event.atMs, event.data);
      case 'note':
        return line(vertex, event.message);
      case 'explained':
        if (event.explanation.outcome === 'hit') vertex.reason = sanitizeLine(event.text);
        else line(vertex, paint.dim(sanitizeLine(event.text)));
        return;
      case 'transfer': {
        const key = `${event.digest} ${event.id} ${event.finished}`;
        if (transfers.has(key)) return;
        transfers.add(key);
        const size = event.totalBytes === undefined ? '' : ` ${formatBytes(event.totalBytes)}`;
        return line(vertex, `${event.action} ${event.id}${size}${event.finished ? ' done' : ''}`);
      }
    }
  };
  return { show, close: () => undefined };
}
