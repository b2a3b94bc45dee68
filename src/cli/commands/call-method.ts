import { BuildError } from '../../errors.js';

const CALL_METHODS = ['build', 'check', 'outline', 'targets'] as const;

export interface CallMethod {
  readonly name: (typeof CALL_METHODS)[number];
  readonly json: boolean;
}

/** `--call METHOD[,format=json]`. @throws USAGE */
export function parseCall(text: string): CallMethod {
  const [name, ...fields] = text.split(',');
  const known = CALL_METHODS.find((method) => method === name || (method === 'check' && name === 'lint'));
  const rest = fields.filter((field) => field !== 'format=json' && field !== 'format=text');
  if (known !== undefined && rest.length === 0) return { name: known, json: fields.includes('format=json') };
  throw new BuildError('USAGE', `--call "${text}" is not known`, {
    hint: `the methods are ${CALL_METHODS.join(', ')}; for machines write check,format=json`,
  });
}
