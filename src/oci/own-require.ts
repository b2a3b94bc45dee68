import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

let loaded: NodeJS.Require | undefined;

/** `require` from where this code lies, in sources, in the ES module and in the bundle: for lazy native modules. */
export function ownRequire(): NodeJS.Require {
  loaded ??= createRequire(ownFile());
  return loaded;
}

/** The file with this code. ES modules have no `__filename` and a bundle has no `import.meta`, so the stack tells. */
export function ownFile(): string {
  if (typeof __filename === 'string') return __filename;
  const url = /file:\/\/[^\s)]+?(?=:\d+:\d+)/.exec(new Error().stack ?? '')?.[0];
  return url === undefined ? `${process.cwd()}/x.js` : fileURLToPath(url);
}
