import { exitStatusOf, Interruption } from '../errors.js';
import { reexecInUserNamespace } from '../worker/sys/reexec.js';
import type { CommandContext } from './command-context.js';
import { createPaint, hasColors } from './paint.js';
import { formatError } from './print-error.js';

/** Commands that never touch the store, so an ordinary user's process need not enter a user namespace. */
const PURE_WORDS = new Set(['--help', '-h', 'help', '--version', 'version']);

async function main(): Promise<void> {
  const args = process.argv.slice(2);
  const isPure =
    args.length === 0 || PURE_WORDS.has(args[0]!) || args.includes('--help') || args.includes('-h');
  const paint = createPaint(hasColors(process.stderr));
  try {
    if (!isPure) reexecInUserNamespace();
    const [{ runCommandLine }, { abandonStores }] = await Promise.all([
      import('./program.js'),
      import('../store.js'),
    ]);
    process.exitCode = await runCommandLine(args, watchSignals(abandonStores));
  } catch (error) {
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

// A closed pipe (`tsbuild images | head`) ends the output, not the program with a stack trace.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

// The terminal of SIGHUP is gone; the work still has to be ended.
process.stderr.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE' && error.code !== 'EIO') throw error;
});

void main();
