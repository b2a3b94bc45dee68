import type { ProgressEvent, TransferProgress } from '../../progress.js';
import type { Paint } from '../paint.js';
import type { Display } from './display.js';
import { LineSplitter } from './line-splitter.js';
import { failedOutput, OutputTail } from './output-tail.js';
import { fitColumns, formatBytes, formatSeconds, sanitizeLine } from './format.js';

export interface Terminal {
  readonly write: (text: string) => void;
  readonly paint: Paint;
  readonly columns: () => number;
  readonly rows: () => number;
  /** Milliseconds; default: the clock. */
  readonly now?: () => number;
}

type State = 'waiting' | 'running' | 'cached' | 'done' | 'failed' | 'canceled';

interface ShownVertex {
  readonly name: string;
  state: State;
  startedMs: number;
  endedMs: number;
  readonly tail: string[];
  readonly lines: LineSplitter;
  readonly output: OutputTail;
  logPath?: string | undefined;
  /** Why it is cached or not, where that was said. */
  reason?: string;
  readonly transfers: Map<string, TransferProgress>;
}

const TAIL_LINES = 6;
const REDRAW_MS = 100;

/**
 * Steps with their time, CACHED marks, the last lines of running steps and download bars, redrawn in place. Finished steps
 * move up and stay; at the end everything stands there once, with the last lines of a step that failed.
 */
export function createTtyDisplay(terminal: Terminal): Display {
  const { write, paint, columns, rows } = terminal;
  const now = terminal.now ?? Date.now;
  const startedMs = now();
  const vertices = new Map<string, ShownVertex>();
  const messages: string[] = [];
  let drawnLines = 0;
  let drawnMs = 0;
  let closed = false;
  const timer = setInterval(() => draw(), REDRAW_MS);
  timer.unref();

  const erase = () => (drawnLines === 0 ? '' : `\x1b[${drawnLines}A\x1b[0J`);

  function draw(): void {
    if (closed) return;
    drawnMs = now();
    const permanent = messages.splice(0).map((text) => `${text}\n`);
    const lines = frame().map((text) => `${text}\n`);
    write(`\x1b[?25l${erase()}${permanent.join('')}${lines.join('')}\x1b[?25h`);
    drawnLines = lines.length;
  }

  /** As many lines as fit: finished steps make room for running ones. */
  function frame(): string[] {
    const shown = [...vertices.values()].filter((vertex) => vertex.state !== 'waiting');
    const finished = shown.filter((vertex) => vertex.state !== 'running').length;
    const head = paint.bold(
      `[+] Building ${formatSeconds(now() - startedMs)} (${finished}/${vertices.size})`,
    );
    const blocks = shown.map((vertex) => ({ vertex, lines: block(vertex) }));
    const room = Math.max(3, rows() - 2);
    let total = blocks.reduce((sum, { lines }) => sum + lines.length, 0);
    const kept = blocks.filter(({ vertex, lines }) => {
      if (total <= room || vertex.state === 'running') return true;
      total -= lines.length;
      return false;
    });
    return [head, ...kept.flatMap(({ lines }) => lines).slice(-room)];
  }

  function block(vertex: ShownVertex): string[] {
    const lines = [stepLine(vertex), ...reasonLines(vertex)];
    if (vertex.state !== 'running') return lines;
    for (const row of vertex.transfers.values()) if (!row.finished) lines.push(transferLine(row));
    for (const text of vertex.tail) lines.push(paint.dim(fitColumns(` => => # ${text}`, columns() - 1)));
    return lines;
  }

  function stepLine(vertex: ShownVertex): string {
    const mark = {
      cached: 'CACHED ',
      failed: 'ERROR ',
      canceled: 'CANCELED ',
      waiting: '',
      running: '',
      done: '',
    }[vertex.state];
    const time =
      vertex.state === 'cached'
        ? '0.0s'
        : formatSeconds((vertex.state === 'running' ? now() : vertex.endedMs) - vertex.startedMs);
    const left = fitColumns(` => ${mark}${vertex.name}`, columns() - time.length - 2);
    const line = `${left.padEnd(columns() - time.length - 1)}${time}`;
    const colors = {
      cached: paint.blue,
      failed: paint.red,
      canceled: paint.yellow,
      done: paint.blue,
      running: (text: string) => text,
      waiting: (text: string) => text,
    };
    return colors[vertex.state](line);
  }

  function reasonLines({ reason }: ShownVertex): string[] {
    return reason === undefined ? [] : [paint.dim(fitColumns(` => => ${reason}`, columns() - 1))];
  }

  function transferLine({ id, action, currentBytes, totalBytes }: TransferProgress): string {
    const share = totalBytes ? Math.min(1, currentBytes / totalBytes) : 0;
    const bar = `[${'='.repeat(Math.round(share * 20)).padEnd(20)}]`;
    const size =
      totalBytes === undefined
        ? formatBytes(currentBytes)
        : `${formatBytes(currentBytes)} / ${formatBytes(totalBytes)}`;
    return fitColumns(` => => ${action} ${id.slice(0, 19)} ${bar} ${size}`, columns() - 1);
  }

  function log(vertex: ShownVertex, data: Uint8Array): void {
    vertex.output.add(data);
    vertex.tail.push(...vertex.lines.add(data).slice(-TAIL_LINES).map(sanitizeLine));
    vertex.tail.splice(0, vertex.tail.length - TAIL_LINES);
  }

  function finish(vertex: ShownVertex, state: State, atMs: number): void {
    vertex.state = state;
    vertex.endedMs = atMs;
  }

  function apply(event: ProgressEvent): void {
    if (event.kind === 'announced') {
      vertices.set(event.digest, {
        name: event.name,
        state: 'waiting',
        startedMs: event.atMs,
        endedMs: 0,
        tail: [],
        lines: new LineSplitter(),
        output: new OutputTail(),
        transfers: new Map(),
      });
      return;
    }
    if (event.kind === 'warning') {
      messages.push(
        `${paint.yellow('warning:')} ${event.rule ? `${event.rule}: ` : ''}${event.message}${event.location ? ` (line ${event.location.startLine})` : ''}`,
      );
      return;
    }
    if (event.kind === 'note') {
      messages.push(event.message);
      return;
    }
    const vertex = vertices.get(event.digest);
    if (!vertex) return;
    switch (event.kind) {
      case 'started':
        vertex.state = 'running';
        vertex.startedMs = event.atMs;
        return;
      case 'log':
        return log(vertex, event.data);
      case 'transfer':
        vertex.transfers.set(event.id, event);
        return;
      case 'explained':
        vertex.reason = sanitizeLine(event.text);
        return;
      default:
        if (event.kind === 'failed') vertex.logPath = event.logPath;
        return finish(vertex, event.kind, event.atMs);
    }
  }

  function failedOutputs(): string {
    return [...vertices.values()]
      .filter((vertex) => vertex.state === 'failed')
      .map(({ name, output, logPath }) => failedOutput(name, output, logPath))
      .join('');
  }

  return {
    show: (event) => {
      apply(event);
      if (now() - drawnMs >= REDRAW_MS) draw();
    },
    close: () => {
      if (closed) return;
      clearInterval(timer);
      const shown = [...vertices.values()].filter((vertex) => vertex.state !== 'waiting');
      if (shown.length > 0 || messages.length > 0) {
        const head = paint.bold(
          `[+] Building ${formatSeconds(now() - startedMs)} (${shown.length}/${vertices.size}) FINISHED`,
        );
        const lines = [
          ...messages,
          head,
          ...shown.flatMap((vertex) => [stepLine(vertex), ...reasonLines(vertex)]),
        ];
        write(`${erase()}${lines.join('\n')}\n${failedOutputs()}`);
      }
      closed = true;
    },
  };
}
