import { BuildError, nearestName } from '../errors.js';
import type { SecretOrigin } from '../secrets/secret-vault.js';

const KEYS = ['id', 'src', 'source', 'env', 'type'];

/** `--secret id=NAME,src=FILE`, `id=NAME,env=VARIABLE`; `id=NAME` alone is the variable NAME where it is set, else the file NAME. @throws USAGE */
export function parseSecret(text: string): [id: string, origin: SecretOrigin] {
  const values = new Map<string, string>();
  for (const field of text.split(',')) {
    const equals = field.indexOf('=');
    const key = equals < 0 ? field : field.slice(0, equals);
    if (equals < 0 || !KEYS.includes(key)) {
      const nearest = nearestName(key, KEYS);
      throw new BuildError('USAGE', `--secret "${text}": "${key}" is not known`, {
        hint: nearest ? `did you mean "${nearest}"?` : 'write id=NAME,src=FILE or id=NAME,env=VARIABLE',
      });
    }
    values.set(key, field.slice(equals + 1));
  }
  const id = values.get('id');
  if (!id)
    throw new BuildError('USAGE', `--secret "${text}" has no id`, {
      hint: 'write id=NAME,src=FILE or id=NAME,env=VARIABLE',
    });
  const file = values.get('src') ?? values.get('source');
  const env = values.get('env') ?? (values.get('type') === 'env' ? id : undefined);
  if (file !== undefined) return [id, values.get('type') === 'env' ? { env: file } : { file }];
  if (env !== undefined) return [id, { env }];
  return [id, process.env[id] === undefined ? { file: id } : { env: id }];
}

/**
 * `--ssh default`, `--ssh ID=SOCKET`, `--ssh ID=KEYFILE,…`; without a path the socket of SSH_AUTH_SOCK.
 */
export function parseSsh(text: string): [id: string, origin: { readonly paths: readonly string[] }] {
  const equals = text.indexOf('=');
  if (equals < 0) return [text, { paths: [process.env['SSH_AUTH_SOCK'] ?? ''] }];
  const paths = text
    .slice(equals + 1)
    .split(',')
    .filter(Boolean);
  return [text.slice(0, equals), { paths }];
}
