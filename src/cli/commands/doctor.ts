import { examineMachine, examineStore, type MachineReport, type StoreCheck } from '../../doctor.js';
import { type CommandContext, type GlobalOptions, storeOptions } from '../command-context.js';
import { createPaint, hasColors, type Paint } from '../paint.js';

interface DoctorFlags extends GlobalOptions {
  readonly store?: boolean;
  readonly quick?: boolean;
  readonly format: string;
}

/**
 * `tsbuild doctor`: the machine, or with --store the store. Gives the exit status: 0 fine, 1 the machine lacks something that
 * builds need, 4 something of the store was damaged.
 */
export async function runDoctor(flags: DoctorFlags, context: CommandContext): Promise<number> {
  const paint = createPaint(hasColors(process.stdout));
  const json = flags.format === 'json';
  if (flags.store) {
    const check = await examineStore({
      ...storeOptions(flags, context),
      ...(flags.quick ? { quick: true } : {}),
    });
    print(json ? JSON.stringify(check) : formatStore(check, paint));
    return check.damages.length > 0 ? 4 : 0;
  }
  const machine = await examineMachine();
  print(json ? JSON.stringify(machine) : machine.map((report) => formatReport(report, paint)).join('\n'));
  return machine.some(({ status }) => status === 'failed') ? 1 : 0;
}

function formatReport(report: MachineReport, paint: Paint): string {
  const colors = { ok: paint.green, warning: paint.yellow, failed: paint.red };
  const status = colors[report.status](report.status.padEnd(7));
  const line = `${status}  ${report.name.padEnd(16)}  ${report.detail}`;
  return report.status === 'ok' ? line : `${line}\n${' '.repeat(9)}${paint.cyan('mend:')} ${report.mend}`;
}

function formatStore({ root, counts, damages }: StoreCheck & { root: string }, paint: Paint): string {
  const checked = Object.entries(counts).map(([what, count]) => `${count} ${what}`);
  const lines = damages.map(({ kind, name, problem, setAside }) => {
    const away = setAside === undefined ? '' : `\n${' '.repeat(9)}set aside as ${setAside}`;
    return `${paint.red('damaged')}  ${kind} ${name}: ${problem}${away}`;
  });
  const end =
    damages.length === 0
      ? `${paint.green('ok')}  ${root}: ${checked.join(', ')}`
      : `${damages.length} damaged of ${checked.join(', ')} in ${root}; what is needed again is built or fetched anew`;
  return [...lines, end].join('\n');
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
