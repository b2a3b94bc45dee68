import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Texts that tell a secret, computed apart from what is tested. */
function tellingTexts(secret: string): string[] {
  const cores = [0, 1, 2].map((before) => {
    const encoded = Buffer.from('x'.repeat(before) + secret).toString('base64');
    return encoded.slice(before === 0 ? 0 : 4, -4);
  });
  const hex = Buffer.from(secret).toString('hex');
  return [secret, ...cores, hex, hex.toUpperCase(), encodeURIComponent(secret)];
}

export function tells(text: string, secret: string): boolean {
  return tellingTexts(secret).some((form) => text.includes(form));
}

/** Files below a directory whose bytes, or whose name, tell the secret. */
export function filesThatTell(directory: string, secret: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .map((entry) => ({ entry, path: join(entry.parentPath, entry.name) }))
    .filter(
      ({ entry, path }) =>
        tells(path, secret) || (entry.isFile() && tells(readFileSync(path, 'latin1'), secret)),
    )
    .map(({ path }) => path);
}
