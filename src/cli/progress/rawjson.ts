import type { Display } from './display.js';

/** One JSON object a line; output of steps in base64. */
export function createRawJsonDisplay(write: (text: string) => void): Display {
  return {
    show: (event) => {
      const data =
        event.kind === 'log' ? { ...event, data: Buffer.from(event.data).toString('base64') } : event;
      write(`${JSON.stringify(data)}\n`);
    },
    close: () => undefined,
  };
}
