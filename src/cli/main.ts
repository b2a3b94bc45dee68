import { exitStatusOf, firstThrown, Interruption } from '../errors.js';
import { reexecInUserNamespace } from '../worker/sys/reexec.js';
import type { CommandContext } from './command-context.js';
import { createPaint, hasColors } from './paint.js';
import { formatError } from './print-error.js';

/** Commands that never touch the store, so an ordinary user's process need not enter a user namespace. */
const PURE_WORDS = new Set(['--help', '-h', 'help', '--version', 'version']);

/** `tsbuild doctor` must say what is wrong where no namespace can be made, too. */
function isPure(args: readonly string[]): boolean {
  const [first] = args;
  if (first === undefined || PURE_WORDS.has(first) || args.includes('--help') || args.includes('-h'))
    return true;
  return first === 'doctor' && !args.includes('--store');
}

async function main(): Promise<void> {
  const args = process.argv.slice(2);
  try {
    if (!isPure(args)) reexecInUserNamespace();
    const [{ runCommandLine }, { abandonStores }] = await Promise.all([
      import('./program.js'),
      import('../store.js'),
    ]);
    process.exitCode = await runCommandLine(args, watchSignals(abandonStores));
  } catch (thrown) {
    const error = firstThrown(thrown);
    const paint = createPaint(hasColors(process.stderr));
    process.stderr.write(formatError(error, paint, args.includes('--debug') || args.includes('-D')));
    process.exitCode = exitStatusOf(error);
  }
}

/** Ctrl-C aborts everything with INTERRUPTED; a second one ends the process at once, and leaves nothing either. */
function watchSignals(abandonStores: () => void): CommandContext {
  const controller = new AbortController();
  const onSignal = (name: NodeJS.Signals) => {
    if (controller.signal.aborted) {
      abandonStores();
      process.exit(130);
    }
    controller.abort(new Interruption(name));
  };
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, onSignal);
  return { signal: controller.signal };
}

/**
 * Lets errors of a standard stream that `isHarmless` names pass. Node makes the streams when they are first asked for, and with
 * them loads what a cached build with -q does without.
 */
function forgive(name: 'stdout' | 'stderr', isHarmless: (code?: string) => boolean): void {
  const { get } = Object.getOwnPropertyDescriptor(process, name)!;
  const withHandler = () => {
    const stream = get!.call(process) as NodeJS.WriteStream;
    Object.defineProperty(process, name, { value: stream, configurable: true, enumerable: true });
    return stream.on('error', (error: NodeJS.ErrnoException) => {
      if (!isHarmless(error.code)) throw error;
    });
  };
  Object.defineProperty(process, name, { get: withHandler, configurable: true, enumerable: true });
}

// A closed pipe (`tsbuild images | head`) ends the output, not the program with a stack trace.
forgive('stdout', (code) => code === 'EPIPE');
// The terminal of SIGHUP is gone; the work still has to be ended.
forgive('stderr', (code) => code === 'EPIPE' || code === 'EIO');

void main();
