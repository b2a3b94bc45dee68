import { BuildError } from '../../errors.js';

/**
 * What --call takes, with BuildKit's name of the request and the version of the answer. `build` is none of them: it is what happens
 * without --call.
 */
export const CALLS = [
  {
    name: 'outline',
    request: 'frontend.outline',
    aliases: [],
    version: '1.0.0',
    description: 'List the arguments, secrets, agents and caches that the target takes',
  },
  {
    name: 'targets',
    request: 'frontend.targets',
    aliases: [],
    version: '1.0.0',
    description: 'List the stages that can be built',
  },
  {
    name: 'check',
    request: 'frontend.lint',
    aliases: ['lint'],
    version: '1.0.0',
    description: 'Ask the rules about the Dockerfile',
  },
  {
    name: 'convertllb',
    request: 'frontend.convertllb',
    aliases: [],
    version: '0.1.0',
    description: 'Give the definition of the build as JSON',
  },
  {
    name: 'subrequests.describe',
    request: 'frontend.subrequests.describe',
    aliases: ['describe', 'help'],
    version: '1.0.0',
    description: 'List what --call takes',
  },
] as const;

export interface CallMethod {
  readonly name: (typeof CALLS)[number]['name'];
  readonly json: boolean;
}

/** `--call METHOD[,format=json]`; undefined is a build. BuildKit's own names have `frontend.` before them. @throws USAGE */
export function parseCall(text: string): CallMethod | undefined {
  const [written = '', ...fields] = text.split(',');
  const name = written.replace(/^frontend\./, '');
  const known = CALLS.find((call) => call.name === name || call.aliases.some((alias) => alias === name));
  const isFormat = fields.every((field) => field === 'format=json' || field === 'format=text');
  if (isFormat && name === 'build') return undefined;
  if (isFormat && known !== undefined) return { name: known.name, json: fields.at(-1) === 'format=json' };
  throw new BuildError('USAGE', `--call "${text}" is not known`, {
    hint: `the methods are build, ${CALLS.map((call) => call.name).join(', ')}; for machines write check,format=json`,
  });
}
