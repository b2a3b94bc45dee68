import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Commit, history, type Project, type WorkingTree } from './project.js';

/** A web service with real dependencies, in the form that `docker init` writes: manifests are bound, not copied. */
const DOCKERFILE = `FROM bench-base AS deps
WORKDIR /app
RUN --mount=type=bind,source=package.json,target=/app/package.json \\
    --mount=type=bind,source=package-lock.json,target=/app/package-lock.json \\
    --mount=type=bind,source=vendor,target=/app/vendor \\
    npm ci --offline --no-audit --no-fund && rm -rf /root/.npm

FROM deps AS build
COPY tsconfig.json ./
COPY src ./src
RUN node_modules/.bin/esbuild src/main.ts --bundle --minify --platform=node --outfile=dist/main.js

FROM bench-base
WORKDIR /app
ENV NODE_ENV=production
COPY --chmod=755 scripts/entrypoint.sh /usr/local/bin/entrypoint
COPY --from=build /app/dist ./dist
RUN node --check dist/main.js
COPY config ./config
RUN node -e 'JSON.parse(require("fs").readFileSync("config/app.json"))' && useradd --system app
USER app
LABEL org.opencontainers.image.title=shop
ENTRYPOINT ["entrypoint"]
CMD ["node", "dist/main.js"]
`;

const MODULES = ['orders', 'users', 'prices', 'mail', 'search', 'stock'];

const moduleText = (name: string) => `export function ${name}(input: string): string {
  return '${name}:' + input;
}
`;

function create(tree: WorkingTree): void {
  tree.write('Dockerfile', DOCKERFILE);
  tree.write('.dockerignore', 'node_modules\n.git\n*.md\ntest\n');
  for (const name of MODULES) tree.write(`src/${name}.ts`, moduleText(name));
  const imports = MODULES.map((name) => `import { ${name} } from './${name}.js';\n`).join('');
  const calls = MODULES.map((name) => `console.log(${name}(parse('a: 1').a));\n`).join('');
  tree.write('src/main.ts', `import { parse } from 'yaml';\n${imports}${calls}`);
  tree.write('tsconfig.json', '{ "compilerOptions": { "strict": true } }\n');
  tree.write('config/app.json', '{ "port": 8080 }\n');
  tree.write('scripts/entrypoint.sh', '#!/bin/sh\nexec "$@"\n');
  tree.write('README.md', '# Shop\n');
  tree.write('test/main.test.ts', 'export {};\n');
  const vendor = join(tree.root, 'vendor');
  mkdirSync(vendor);
  const packed = execFileSync(
    'npm',
    ['pack', '--silent', `yaml@${YAMLS[0]}`, 'esbuild@0.25.9', '@esbuild/linux-x64@0.25.9'],
    { cwd: vendor, encoding: 'utf8' },
  );
  const [yaml, esbuild, binary] = packed.trim().split('\n');
  const dependencies = {
    yaml: `file:vendor/${yaml}`,
    esbuild: `file:vendor/${esbuild}`,
    '@esbuild/linux-x64': `file:vendor/${binary}`,
  };
  tree.write(
    'package.json',
    `${JSON.stringify({ name: 'shop', version: '1.0.0', dependencies }, undefined, 2)}\n`,
  );
  lock(tree);
}

function lock(tree: WorkingTree): void {
  execFileSync('npm', ['install', '--package-lock-only', '--silent', '--no-audit', '--no-fund'], {
    cwd: tree.root,
  });
}

const YAMLS = ['2.8.1', '2.8.0', '2.7.1'];

/** What a builder that does not look into bind mounts misses. */
function updateYaml(tree: WorkingTree, round: number): void {
  const [before, after] = [YAMLS[round % 3]!, YAMLS[(round + 1) % 3]!];
  execFileSync('npm', ['pack', '--silent', `yaml@${after}`], { cwd: join(tree.root, 'vendor') });
  tree.remove(`vendor/yaml-${before}.tgz`);
  tree.edit('package.json', (text) => text.replace(`yaml-${before}`, `yaml-${after}`));
  lock(tree);
}

const pick = (round: number) => MODULES[(round * 5) % MODULES.length]!;

const KINDS: readonly (readonly [number, (round: number) => Commit])[] = [
  [
    14,
    (round) => ({
      subject: `change ${pick(round)}`,
      apply: (tree) =>
        tree.edit(`src/${pick(round)}.ts`, (text) => text.replace(/return '[^']*'/, `return 'v${round}:'`)),
    }),
  ],
  [
    8,
    (round) => ({
      subject: `comments in ${pick(round)}`,
      apply: (tree) => tree.edit(`src/${pick(round)}.ts`, (text) => `// Note ${round}.\n${text}`),
    }),
  ],
  [
    6,
    (round) => ({
      subject: 'words in the manual',
      apply: (tree) => tree.edit('README.md', (text) => `${text}\nMore ${round}.\n`),
    }),
  ],
  [
    5,
    (round) => ({
      subject: 'a script of package.json',
      apply: (tree) =>
        tree.edit(
          'package.json',
          (text) =>
            `${JSON.stringify({ ...(JSON.parse(text) as object), scripts: { lint: `eslint ${round}` } }, undefined, 2)}\n`,
        ),
    }),
  ],
  [
    4,
    (round) => ({
      subject: 'another setting',
      apply: (tree) => tree.write('config/app.json', `{ "port": ${8081 + round} }\n`),
    }),
  ],
  [
    4,
    (round) => ({
      subject: 'a label',
      apply: (tree) => tree.edit('Dockerfile', (text) => text.replace(/title=.*/, `title=shop-${round}`)),
    }),
  ],
  [
    4,
    (round) => ({
      subject: 'a checkout under another umask',
      apply: (tree) => tree.mode('scripts/entrypoint.sh', round % 2 ? 0o644 : 0o600),
    }),
  ],
  [
    3,
    (round) => ({
      subject: `revert ${pick(round)}`,
      apply: (tree) => tree.write(`src/${pick(round)}.ts`, moduleText(pick(round))),
    }),
  ],
  [2, (round) => ({ subject: 'another version of yaml', apply: (tree) => updateYaml(tree, round) })],
  [
    2,
    (round) => ({
      subject: 'a test',
      apply: (tree) => tree.edit('test/main.test.ts', (text) => `${text}// ${round}\n`),
    }),
  ],
];

export const NODE_APP: Project = {
  name: 'Node app',
  images: [{ name: 'bench-node', dockerfile: 'Dockerfile', proof: '/app/dist/main.js' }],
  create,
  commits: (count) => history(count, KINDS),
};
