import type { ProgressEvent } from '../../progress.js';
import { createPaint, hasColors } from '../paint.js';
import { visibleLine, visibleText } from '../visible.js';
import { createPlainDisplay } from './plain.js';
import { createRawJsonDisplay } from './rawjson.js';
import { createTtyDisplay } from './tty.js';

export const PROGRESS_MODES = ['auto', 'tty', 'plain', 'rawjson', 'quiet'] as const;
export type ProgressMode = (typeof PROGRESS_MODES)[number];

/** Shows a build's events. `close` prints what is still to be said and leaves the terminal as it was. */
export interface Display {
  show(event: ProgressEvent): void;
  close(): void;
}

/** `auto` is tty on a terminal, else plain. `onWrite` hears what is written to standard error. */
export function createDisplay(
  mode: ProgressMode,
  { env = process.env, onWrite }: { env?: NodeJS.ProcessEnv; onWrite?: (text: string) => void } = {},
): Display {
  if (mode === 'quiet') return { show: () => undefined, close: () => undefined };
  const stream = process.stderr;
  const write = (text: string) => {
    onWrite?.(text);
    stream.write(text);
  };
  const paint = createPaint(hasColors(stream, env));
  const isTerminal = stream.isTTY && env['TERM'] !== 'dumb' && !env['CI'];
  const display = createModeDisplay(mode === 'auto' ? (isTerminal ? 'tty' : 'plain') : mode);
  return {
    show: (event) => {
      display.show(event);
      if (event.kind === 'log' && stream.writableNeedDrain) event.hold?.(drained(stream));
    },
    close: () => display.close(),
  };

  function createModeDisplay(shown: Exclude<ProgressMode, 'auto' | 'quiet'>): Display {
    switch (shown) {
      case 'tty':
        return visibly(
          createTtyDisplay({
            write,
            paint,
            columns: () => stream.columns || 80,
            rows: () => stream.rows || 24,
          }),
        );
      case 'rawjson':
        return createRawJsonDisplay(write);
      default:
        return visibly(createPlainDisplay(write, paint));
    }
  }
}

/** Names of files, steps and images must not write over the display; what a step prints is the step's own. */
function visibly(display: Display): Display {
  return {
    show: (event) => display.show(visibleEvent(event)),
    close: () => display.close(),
  };
}

function visibleEvent(event: ProgressEvent): ProgressEvent {
  switch (event.kind) {
    case 'announced':
      return { ...event, name: visibleLine(event.name) };
    case 'transfer':
      return { ...event, id: visibleLine(event.id) };
    case 'explained':
      return { ...event, text: visibleText(event.text) };
    case 'failed':
    case 'note':
    case 'warning':
      return { ...event, message: visibleText(event.message) };
    default:
      return event;
  }
}

/** Until the reader has taken what was written, or is gone. */
function drained(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    const events = ['drain', 'close', 'error'] as const;
    const done = () => {
      for (const event of events) stream.off(event, done);
      resolve();
    };
    for (const event of events) stream.on(event, done);
  });
}
