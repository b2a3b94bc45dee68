import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { BuildError } from '../../../src/errors.js';
import { parseDockerfile } from '../../../src/frontend/parse.js';

interface Case {
  readonly id: string;
  readonly construct: string;
  readonly dockerfile: string;
  readonly error?: string;
  readonly escape?: string;
  readonly instructions?: readonly Record<string, unknown>[];
}

const cases = JSON.parse(
  readFileSync(join(import.meta.dirname, '../../fixtures/parser/cases.json'), 'utf8'),
) as Case[];

/** In the shape of the recorded results. */
function parsed(dockerfile: string): { escape: string; instructions: Record<string, unknown>[] } {
  const { escape, instructions } = parseDockerfile(dockerfile, 'Dockerfile');
  return {
    escape,
    instructions: instructions.map((instruction) => ({
      keyword: instruction.keyword,
      flags: instruction.flags,
      args: instruction.args,
      json: instruction.json,
      heredocs: instruction.heredocs.map((heredoc) => ({
        Name: heredoc.name,
        FD: heredoc.fileDescriptor,
        Expand: heredoc.expand,
        Chomp: heredoc.chomp,
        Content: heredoc.content,
      })),
      startLine: instruction.location.startLine,
      endLine: instruction.location.endLine,
      original: instruction.original,
      comments: instruction.comments,
    })),
  };
}

/** The recorded form of a trigger has its flags in one word and a mark for JSON; keywords are as written. */
function expectedOf(instruction: Record<string, unknown>): Record<string, unknown> {
  const keyword = (instruction['keyword'] as string).toUpperCase();
  if (keyword !== 'ONBUILD') return { ...instruction, keyword };
  const [trigger = '', ...rest] = instruction['args'] as string[];
  const args = rest.flatMap((word) =>
    word.startsWith('FLAGS[') ? (JSON.parse(word.slice(5).replaceAll('" "', '","')) as string[]) : [word],
  );
  const json = args.includes('JSON');
  return {
    ...instruction,
    keyword,
    json,
    args: [trigger.toUpperCase(), ...args.filter((word) => word !== 'JSON')].filter(
      (word, i) => i > 0 || word !== '',
    ),
  };
}

describe('Dockerfile syntax, as BuildKit parses it', () => {
  for (const { id, construct, dockerfile, error, escape, instructions } of cases) {
    it(`${id}: ${construct}`, () => {
      if (error === undefined) {
        expect(parsed(dockerfile)).to.deep.equal({ escape, instructions: instructions!.map(expectedOf) });
        return;
      }
      expect(() => parsed(dockerfile))
        .to.throw(BuildError)
        .with.property('message', error);
    });
  }
});
