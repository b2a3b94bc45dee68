/** A part of a pattern: one character of a class, or any number of them. */
interface Part {
  readonly one: (char: string) => boolean;
  readonly repeats: boolean;
  /** The part and those behind it, up to this index, may be left out together. */
  readonly skipTo?: number;
}

const PART =
  /\(\.\*\/\)\?|(?:\(\?:\(\?!\/\)(\[(?:\\.|[^\\\]])*\])\)|\(\?!\)|\[\^?(?:\\.|[^\\\]])*\]|\\.|[^*?+(){}[|^$])\*?/gsuy;

/** More stars than that, and a regular expression may try every way to share a name among them. */
export const HARMLESS_STARS = 2;

/**
 * A test for the whole of a name. `source` is the body of a regular expression as the translators of path patterns write it:
 * characters, classes, stars of both, and directories that may be missing. With many stars it is run as a set of states that moves over the name once,
 * in time that grows with name and pattern only. What has many stars and other
 * parts is refused.
 */
export function compileMatch(source: string, flags: 's' | 'su'): (name: string) => boolean {
  const expression = new RegExp(`^${source}$`, flags);
  const stars = source.match(/\*/g)?.length ?? 0;
  const parts = stars > HARMLESS_STARS ? partsOf(source, flags) : undefined;
  return parts
    ? (name) => matchesParts(parts, flags === 'su' ? [...name] : name.split(''))
    : (name) => expression.test(name);
}

function partsOf(source: string, flags: 's' | 'su'): Part[] {
  const parts: Part[] = [];
  PART.lastIndex = 0;
  while (PART.lastIndex < source.length) {
    const match = PART.exec(source);
    if (!match) throw new SyntaxError('it has many stars and a "^" or "[" between them');
    const [written] = match;
    if (written === '(.*/)?') {
      // The way around starts before the first character only.
      parts.push({ one: () => false, repeats: true, skipTo: parts.length + 3 });
      parts.push({ one: () => true, repeats: true });
      parts.push({ one: (char) => char === '/', repeats: false });
      continue;
    }
    const repeats = written.endsWith('*') && written !== '\\*';
    const atom = repeats ? written.slice(0, -1) : written;
    parts.push({ one: classTest(atom, flags), repeats });
  }
  return parts;
}

function classTest(atom: string, flags: 's' | 'su'): (char: string) => boolean {
  if (atom.length === 1 && atom !== '.') return (char) => char === atom;
  const expression = new RegExp(`^${atom}$`, flags);
  const known = new Map<string, boolean>();
  return (char) => {
    let answer = known.get(char);
    if (answer === undefined) known.set(char, (answer = expression.test(char)));
    return answer;
  };
}

function matchesParts(parts: readonly Part[], name: readonly string[]): boolean {
  // When each state was last entered, so that none is in the list twice.
  const entered = new Uint32Array(parts.length + 1);
  let states: number[] = [];
  enter(parts, 0, states, { entered, time: 1 });
  for (let i = 0; i < name.length; i++) {
    const next: number[] = [];
    for (const state of states) {
      const part = parts[state];
      if (part?.one(name[i]!)) enter(parts, part.repeats ? state : state + 1, next, { entered, time: i + 2 });
    }
    if (next.length === 0) return false;
    states = next;
  }
  return states.includes(parts.length);
}

/** Adds a state and those that are reached from it without a character. */
function enter(
  parts: readonly Part[],
  state: number,
  into: number[],
  { entered, time }: { readonly entered: Uint32Array; readonly time: number },
): void {
  for (let at = state; entered[at] !== time; at++) {
    entered[at] = time;
    into.push(at);
    const part = parts[at];
    if (part?.skipTo !== undefined) enter(parts, part.skipTo, into, { entered, time });
    if (!part?.repeats) return;
  }
}
