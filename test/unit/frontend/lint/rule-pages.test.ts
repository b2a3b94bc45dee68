import { expect } from 'chai';
import { readdirSync, readFileSync } from 'node:fs';
import { RULES } from '../../../../src/frontend/lint/rules.js';
import { convertText } from '../convert-text.js';

const PAGES = new URL('../../../../docs/rules/', import.meta.url);

function block(page: string, heading: string): string {
  return new RegExp(`## ${heading}\\n\\n\`\`\`dockerfile\\n([\\s\\S]*?)\`\`\``).exec(page)![1]!;
}

async function rulesFound(text: string, ignore: string | undefined): Promise<(string | undefined)[]> {
  const ignorePatterns = ignore === undefined ? [] : ignore.trim().split('\n');
  const { warnings } = await convertText(`${text}`, {
    mainContext: { kind: 'local', name: 'context', ignorePatterns },
    buildArgs: { BUILDKIT_DOCKERFILE_CHECK: 'experimental=all' },
    convertsAll: true,
  });
  return warnings.map((warning) => warning.rule);
}

describe('the page of a rule', () => {
  const pages = readdirSync(PAGES).filter((name) => name !== 'README.md');

  it('is there for every rule, and for nothing else', () => {
    expect(pages.map((name) => name.replace('.md', '')).sort()).to.deep.equal(Object.keys(RULES).sort());
    const list = readFileSync(new URL('README.md', PAGES), 'utf8');
    for (const name of Object.keys(RULES)) expect(list).to.contain(`[${name}](${name}.md)`);
  });

  for (const [name, { set }] of Object.entries(RULES)) {
    const page = readFileSync(new URL(`${name}.md`, PAGES), 'utf8');
    const ignore = /```dockerignore\n([\s\S]*?)```/.exec(page)?.[1];

    it(`${name}: the bad example is found`, async () => {
      expect(await rulesFound(block(page, 'Bad'), ignore)).to.include(name);
    });

    it(`${name}: the good example is not`, async () => {
      expect(await rulesFound(block(page, 'Good'), ignore)).to.not.include(name);
    });

    it(`${name}: the comment that the page names skips it`, async () => {
      const text = `# check=skip=${name};experimental=all\n${block(page, 'Bad')}`;
      const { warnings } = await convertText(text, {
        mainContext: {
          kind: 'local',
          name: 'context',
          ignorePatterns: ignore?.trim().split('\n') ?? [],
        },
        convertsAll: true,
      });
      expect(warnings.map((warning) => warning.rule)).to.not.include(name);
    });

    if (set !== 'standard')
      it(`${name}: is not asked unless it is turned on`, async () => {
        const { warnings } = await convertText(block(page, 'Bad'));
        expect(warnings.map((warning) => warning.rule)).to.not.include(name);
      });
  }
});
