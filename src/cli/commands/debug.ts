import { type DebugOptions, debugStep, listFailed } from '../../debug.js';
import { type CommandContext, type GlobalOptions, storeOptions } from '../command-context.js';
import { formatTable } from '../table.js';

/** `tsbuild debug`: without a name it lists the failed steps; with one it gives the command's own exit status. */
export async function runDebug(
  id: string | undefined,
  command: readonly string[],
  flags: GlobalOptions,
  context: CommandContext,
): Promise<number> {
  const store = storeOptions(flags, context);
  if (id === undefined) {
    printFailed(listFailed(store));
    return 0;
  }
  const options: DebugOptions = {
    ...store,
    id,
    command,
    onNote: (message) => process.stderr.write(`${message}\n`),
  };
  return debugStep(options);
}

function printFailed(steps: ReturnType<typeof listFailed>): void {
  const rows = steps.map(({ id, failedAt, name }) => [id, failedAt.slice(0, 19).replace('T', ' '), name]);
  process.stdout.write(`${formatTable(['ID', 'FAILED (UTC)', 'STEP'], rows)}\n`);
}
