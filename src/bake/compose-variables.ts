type Lookup = (name: string) => string | undefined;

const NAME = /[A-Za-z_][A-Za-z0-9_]*/y;

/** Compose's `$NAME`, `${NAME:-default}`, `${NAME:?error}`, `${NAME:+other}`, and `$$` for a dollar. Errors are plain. */
export function interpolate(text: string, lookup: Lookup): string {
  let result = '';
  let at = 0;
  while (at < text.length) {
    const dollar = text.indexOf('$', at);
    if (dollar < 0) break;
    result += text.slice(at, dollar);
    const next = text[dollar + 1];
    if (next === '$') {
      result += '$';
      at = dollar + 2;
    } else if (next === '{') {
      const end = closingBrace(text, dollar + 2);
      result += expression(text.slice(dollar + 2, end), lookup);
      at = end + 1;
    } else {
      NAME.lastIndex = dollar + 1;
      const name = NAME.exec(text)?.[0];
      if (name === undefined) throw new Error(`"${text}" has a "$" with no name; write "$$" for a dollar`);
      result += lookup(name) ?? '';
      at = dollar + 1 + name.length;
    }
  }
  return result + text.slice(at);
}

function closingBrace(text: string, from: number): number {
  let depth = 1;
  for (let at = from; at < text.length; at++) {
    if (text.startsWith('${', at)) depth += 1;
    else if (text[at] === '}' && --depth === 0) return at;
  }
  throw new Error(`"${text}" has a "\${" that nothing closes`);
}

function expression(inner: string, lookup: Lookup): string {
  const parts = /^([A-Za-z_][A-Za-z0-9_]*)(?:(:?[-?+])([^]*))?$/.exec(inner);
  if (!parts) throw new Error(`"\${${inner}}" is no variable`);
  const [, name, operator, rest = ''] = parts;
  const value = lookup(name!);
  const isThere = operator?.startsWith(':') ? value !== undefined && value !== '' : value !== undefined;
  switch (operator?.at(-1)) {
    case '-':
      return isThere ? value! : interpolate(rest, lookup);
    case '+':
      return isThere ? interpolate(rest, lookup) : '';
    case '?':
      if (isThere) return value!;
      throw new Error(`the variable "${name}" is required${rest ? `: ${rest}` : ''}`);
    default:
      return value ?? '';
  }
}

/** `.env`: NAME=VALUE lines, with quotes, comments and variables in them. */
export function parseDotEnv(text: string, lookup: Lookup): Map<string, string> {
  const values = new Map<string, string>();
  const find: Lookup = (name) => lookup(name) ?? values.get(name);
  const lines =
    /^[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.-]*)[ \t]*[=:][ \t]*(?:'([^']*)'|"((?:[^"\\]|\\[^])*)"|([^\n]*))/gm;
  for (const [, name, single, double, plain] of text.matchAll(lines)) {
    if (single !== undefined) values.set(name!, single);
    else if (double !== undefined)
      values.set(name!, interpolate(double.replaceAll('\\n', '\n').replaceAll('\\"', '"'), find));
    else values.set(name!, interpolate(plain!.replace(/(^|\s)#.*$/, '').trim(), find));
  }
  return values;
}
