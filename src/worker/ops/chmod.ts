/**
 * Applies a symbolic mode (`u=rwX,go-w`, `g=u`) as chmod(1) does; without a class, all classes are meant. `X` is execute for
 * directories and for what someone may execute already.
 */
export function applySymbolicMode(mode: number, text: string, isDirectory: boolean): number {
  return text.split(',').reduce((result, clause) => applyClause(result, clause, isDirectory), mode);
}

const CLASS_SHIFT: Readonly<Record<string, number>> = { u: 6, g: 3, o: 0 };

function applyClause(mode: number, clause: string, isDirectory: boolean): number {
  const match = /^([ugoa]*)((?:[+=-](?:[rwxXst]*|[ugo]))+)$/.exec(clause);
  if (!match) return mode;
  const classes = match[1] === '' || match[1]!.includes('a') ? 'ugo' : match[1]!;
  let result = mode;
  for (const [, operator, permissions] of match[2]!.matchAll(/([+=-])([rwxXst]+|[ugo]?)/g)) {
    const bits = bitsOf(classes, permissions!, result, isDirectory);
    if (operator === '+') result |= bits;
    else if (operator === '-') result &= ~bits;
    else result = (result & ~clearedBy(classes)) | bits;
  }
  return result;
}

function bitsOf(classes: string, permissions: string, mode: number, isDirectory: boolean): number {
  if (/^[ugo]$/.test(permissions)) return copiedBits(classes, (mode >> CLASS_SHIFT[permissions]!) & 7);
  const canExecute = isDirectory || (mode & 0o111) !== 0;
  let bits = 0;
  for (const name of classes) {
    const shift = CLASS_SHIFT[name]!;
    if (permissions.includes('r')) bits |= 4 << shift;
    if (permissions.includes('w')) bits |= 2 << shift;
    if (permissions.includes('x') || (permissions.includes('X') && canExecute)) bits |= 1 << shift;
    if (permissions.includes('s') && name !== 'o') bits |= name === 'u' ? 0o4000 : 0o2000;
  }
  return permissions.includes('t') ? bits | 0o1000 : bits;
}

/** `g=u`: what one class may do, for others. */
function copiedBits(classes: string, bits: number): number {
  return [...classes].reduce((result, name) => result | (bits << CLASS_SHIFT[name]!), 0);
}

function clearedBy(classes: string): number {
  let bits = 0;
  for (const name of classes)
    bits |= (7 << CLASS_SHIFT[name]!) | (name === 'u' ? 0o4000 : name === 'g' ? 0o2000 : 0o1000);
  return bits;
}
