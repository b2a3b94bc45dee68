/** Go's path.Match: `*`, `?` and `[…]`, none of which matches a slash. */
export function wildcard(pattern: string): (name: string) => boolean {
  const source = pattern.replace(
    /\[(\^?)([^\]]+)\]|[*?]|[^]/g,
    (token, not: string | undefined, set: string | undefined) => {
      if (set !== undefined) return `[${not ?? ''}${set.replace(/[\\[]/g, '\\$&')}]`;
      if (token === '*') return '[^/]*';
      return token === '?' ? '[^/]' : token.replace(/[.+^${}()|[\]\\]/, '\\$&');
    },
  );
  const expression = new RegExp(`^${source}$`);
  return (name) => expression.test(name);
}
