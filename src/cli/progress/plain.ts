import type { ProgressEvent } from '../../progress.js';
import type { Paint } from '../paint.js';
import type { Display } from './display.js';
import { LineSplitter } from './line-splitter.js';
import { failedOutput, OutputTail } from './output-tail.js';
import { formatBytes, formatSeconds, sanitizeLine } from './format.js';

interface ShownVertex {
  readonly name: string;
  number: number | undefined;
  startedMs: number;
  readonly lines: LineSplitter;
  readonly tail: OutputTail;
  logPath?: string | undefined;
  /** Why it is cached. */
  reason?: string;
}

/**
 * BuildKit's plain style: `#3 [2/3] RUN make`, `#3 0.123 output`, `#3 DONE 0.4s`. Output is whole, line by line; the last lines of
 * a step that failed come once more at the end.
 */
export function createPlainDisplay(print: (text: string) => void, paint: Paint): Display {
  const vertices = new Map<string, ShownVertex>();
  const transfers = new Set<string>();
  const failed: ShownVertex[] = [];
  /** What one event shows goes out at once: an event may hold a thousand lines. */
  const pending: string[] = [];
  const write = (text: string) => void pending.push(text);
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
    const rest = vertex.lines.rest();
    if (rest !== '') line(vertex, `${((atMs - vertex.startedMs) / 1000).toFixed(3)} ${rest}`);
  };
  const log = (vertex: ShownVertex, atMs: number, data: Uint8Array) => {
    vertex.tail.add(data);
    for (const text of vertex.lines.add(data))
      line(vertex, `${((atMs - vertex.startedMs) / 1000).toFixed(3)} ${text.replace(/\r$/, '')}`);
  };
  const end = (vertex: ShownVertex, event: ProgressEvent, text: string) => {
    flush(vertex, event.atMs);
    line(vertex, text);
  };

  const apply = (event: ProgressEvent) => {
    if (event.kind === 'announced') {
      vertices.set(event.digest, {
        name: event.name,
        number: undefined,
        startedMs: event.atMs,
        lines: new LineSplitter(),
        tail: new OutputTail(),
      });
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
        failed.push(vertex);
        vertex.logPath = event.logPath;
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
  const show = (event: ProgressEvent) => {
    apply(event);
    if (pending.length > 0) print(pending.splice(0).join(''));
  };
  const close = () => {
    for (const { name, tail, logPath } of failed.splice(0)) print(failedOutput(name, tail, logPath));
  };
  return { show, close };
}
