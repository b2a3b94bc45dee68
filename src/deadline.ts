import type { BuildOptions } from './options.js';
import type { ProgressEvent, ProgressListener, VertexAnnounced } from './progress.js';
import { LastLine } from './worker/ops/last-line.js';
import { formatDuration, timedOut } from './worker/ops/time-limits.js';

/** The end that `timeoutMs` sets to a whole build, with what it was doing. */
export interface Deadline extends Disposable {
  readonly signal: AbortSignal;
  readonly onProgress: ProgressListener;
}

interface RunningVertex {
  readonly vertex: VertexAnnounced;
  readonly lastLine: LastLine;
}

/** Without a timeout it changes nothing. The error that ends the build names the steps that ran and what the first said last. */
export function openDeadline({ timeoutMs, signal, onProgress }: BuildOptions): Deadline {
  const outer = signal ?? new AbortController().signal;
  const listener = onProgress ?? (() => undefined);
  if (timeoutMs === undefined)
    return { signal: outer, onProgress: listener, [Symbol.dispose]: () => undefined };
  const expired = new AbortController();
  const announced = new Map<string, VertexAnnounced>();
  const running = new Map<string, RunningVertex>();
  const timer = setTimeout(() => expired.abort(buildTimedOut(timeoutMs, [...running.values()])), timeoutMs);
  return {
    signal: AbortSignal.any([outer, expired.signal]),
    onProgress: (event) => {
      follow(event, announced, running);
      listener(event);
    },
    [Symbol.dispose]: () => clearTimeout(timer),
  };
}

function follow(
  event: ProgressEvent,
  announced: Map<string, VertexAnnounced>,
  running: Map<string, RunningVertex>,
): void {
  switch (event.kind) {
    case 'announced':
      announced.set(event.digest, event);
      break;
    case 'started': {
      const vertex = announced.get(event.digest);
      if (vertex) running.set(event.digest, { vertex, lastLine: new LastLine() });
      break;
    }
    case 'log':
      running.get(event.digest)?.lastLine.add(event.data);
      break;
    case 'cached':
    case 'done':
    case 'failed':
    case 'canceled':
      running.delete(event.digest);
      break;
    default:
  }
}

function buildTimedOut(timeoutMs: number, running: readonly RunningVertex[]) {
  const names = running.map(({ vertex }) => `"${vertex.name}"`).join(', ');
  const limit = formatDuration(timeoutMs);
  const during = names === '' ? '' : ` while it ran ${names}`;
  const lastLine = running[0]?.lastLine.text() ?? '';
  return timedOut(
    `the build took longer than --timeout allows (${limit})${during}`,
    lastLine,
    running[0]?.vertex,
  );
}
