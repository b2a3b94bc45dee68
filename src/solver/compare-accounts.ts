import type { StepAccount } from '../cache/step-history.js';
import type { ValueChange } from '../explanation.js';

/** What of an instruction differs, by the names of its components. */
export function compareComponents(before: StepAccount, after: StepAccount): ValueChange[] {
  return compareValues(before.components, after.components, (name) => labelOf(name, before, after)).map(
    (change) => withRemark(change, after),
  );
}

/** What differs without taking part in the key. */
export function compareAsides(before: StepAccount, after: StepAccount): ValueChange[] {
  return compareValues(before.asides ?? {}, after.asides ?? {}, (name) => name).map((change) => ({
    ...change,
    remark: 'not part of the key',
  }));
}

function compareValues(
  before: Readonly<Record<string, string>>,
  after: Readonly<Record<string, string>>,
  label: (name: string) => string,
): ValueChange[] {
  const names = [...new Set([...Object.keys(after), ...Object.keys(before)])];
  return names.flatMap((name): ValueChange[] => {
    const [old, now] = [before[name], after[name]];
    if (old === now) return [];
    const change = old === undefined ? 'added' : now === undefined ? 'removed' : 'changed';
    const isShown = isText(old) && isText(now);
    return [
      {
        kind: 'value',
        name: label(name),
        change,
        ...(isShown ? { before: old.slice(1), after: now.slice(1) } : {}),
      },
    ];
  });
}

/** A component is `=text` where it may be shown, else a digest. */
function isText(value: string | undefined): value is string {
  return value?.startsWith('=') ?? false;
}

/** Processes cannot tell an ARG from an ENV; people can. */
function labelOf(name: string, before: StepAccount, after: StepAccount): string {
  if (!name.startsWith('env.')) return name;
  const variable = name.slice('env.'.length);
  const owner = after.components[name] === undefined ? before : after;
  return `${owner.argNames?.includes(variable) ? 'ARG' : 'ENV'} ${variable}`;
}

function withRemark(change: ValueChange, { components }: StepAccount): ValueChange {
  if (!change.name.startsWith('ARG ')) return change;
  const command = components['command'];
  const variable = change.name.slice('ARG '.length);
  if (command === undefined || !isText(command) || command.includes(variable)) return change;
  return { ...change, remark: 'an ARG takes part in every RUN below it, also where it is not used' };
}

/** The name without the step's number, and of an image without its digest. */
export function instructionOf({ name }: { readonly name: string }): string {
  return name.replace(/^\[[^\]]*\] /, '').replace(/^(FROM .*)@sha(256|512):[0-9a-f]+$/, '$1');
}
