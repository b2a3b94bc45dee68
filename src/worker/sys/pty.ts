import { closeSync, constants, openSync } from 'node:fs';
import { ReadStream } from 'node:tty';
import { callLibc } from './libc.js';

const O_CLOEXEC = 0o2000000;
const TIOCSWINSZ = 0x5414;
const TIOCGPTPEER = 0x5441;
const TIOCSPTLCK = 0x40045431;

const IOCTL_POINTER = 'int ioctl(int fd, ulong request, const void *argument)';
const IOCTL_NUMBER = 'int ioctl(int fd, ulong request, long argument)';

export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

/** A pseudo terminal. What is written to `stream` is typed into it; what programs show there comes out of it, until all have ended. */
export interface Pty extends Disposable {
  readonly stream: ReadStream;
  /** Resolves when the last program has closed its side and `stream` is read empty. */
  readonly ended: Promise<void>;
  /** The programs' side, for `stdio` of one spawn; {@link closeProgramEnd} after it, or `stream` never ends. */
  readonly programEnd: number;
  closeProgramEnd(): void;
  resize(size: TerminalSize): void;
}

/**
 * Opens a pseudo terminal. A program becomes its session's leader, with job control, when it is started through
 * `setsid --ctty`, since Node's spawn does not give a controlling terminal.
 */
export function openPty(size: TerminalSize): Pty {
  const master = openSync('/dev/ptmx', constants.O_RDWR | constants.O_NOCTTY);
  let programEnd: number;
  try {
    callLibc(IOCTL_POINTER, [master, TIOCSPTLCK, Int32Array.of(0)]);
    // By descriptor, not by name: /dev/pts of this mount namespace may be another one's.
    programEnd = callLibc(IOCTL_NUMBER, [
      master,
      TIOCGPTPEER,
      constants.O_RDWR | constants.O_NOCTTY | O_CLOEXEC,
    ]);
    setSize(master, size);
  } catch (error) {
    closeSync(master);
    throw error;
  }
  const stream = new ReadStream(master);
  // The kernel's way to say that the last program has closed its side.
  stream.on('error', () => stream.destroy());
  const ended = new Promise<void>((resolve) => stream.once('close', () => resolve()));
  let open = true;
  const closeProgramEnd = () => {
    if (open) closeSync(programEnd);
    open = false;
  };
  return {
    stream,
    ended,
    programEnd,
    closeProgramEnd,
    resize: (changed) => setSize(master, changed),
    [Symbol.dispose]: () => {
      closeProgramEnd();
      stream.destroy();
    },
  };
}

function setSize(fd: number, { columns, rows }: TerminalSize): void {
  callLibc(IOCTL_POINTER, [fd, TIOCSWINSZ, Uint16Array.of(rows, columns, 0, 0)]);
}
