import { type Commit, history, type Project, type WorkingTree } from './project.js';

const SERVICES = Array.from({ length: 12 }, (_, i) => `service-${String(i + 1).padStart(2, '0')}`);
const LIBRARIES = ['log', 'auth', 'store', 'money'];

/** The libraries that a service uses: `log` and two others. */
const librariesOf = (service: string): readonly string[] => {
  const i = SERVICES.indexOf(service);
  return ['log', LIBRARIES[1 + (i % 3)]!, LIBRARIES[1 + ((i + 1) % 3)]!];
};

/** Bundles a service, in two steps of a build stage that sees the repository through a mount. */
const dockerfile = (service: string) => `FROM bench-base AS build
WORKDIR /repo
RUN --mount=type=bind,source=tools,target=/repo/tools --mount=type=bind,source=libraries,target=/repo/libraries \\
    --mount=type=bind,source=services/${service},target=/repo/service \\
    node tools/bundle.cjs service/main.js /out/main.cjs
RUN node --check /out/main.cjs && cp /out/main.cjs /out/checked.cjs

FROM bench-base
WORKDIR /srv
RUN useradd --system ${service}
COPY --from=build /out/checked.cjs ./main.cjs
RUN node main.cjs > started.txt
COPY services/${service}/config.json ./
LABEL org.opencontainers.image.title=${service}
USER ${service}
CMD ["node", "main.cjs"]
`;

/** Follows requires, drops comments and blank lines: what a bundler does, as far as it matters to a cache. */
const BUNDLE = `const fs = require('node:fs');
const path = require('node:path');
const seen = new Set();
const out = [];
function add(file) {
  if (seen.has(file)) return;
  seen.add(file);
  const text = fs.readFileSync(file, 'utf8');
  for (const [, name] of text.matchAll(/require\\('(@lib[^']*)'\\)/g)) add('libraries/' + name.slice(5) + '/index.js');
  const lines = text.split('\\n').filter((line) => line.trim() && !/^\\s*\\/\\//.test(line) && !line.includes('require('));
  out.push(lines.join('\\n'));
}
add(process.argv[2]);
fs.mkdirSync(path.dirname(process.argv[3]), { recursive: true });
fs.writeFileSync(process.argv[3], out.join('\\n') + '\\n');
`;

const libraryText = (name: string) => `function ${name}(value) {
  return '${name}(' + value + ')';
}
`;

const serviceText = (service: string) => {
  const names = librariesOf(service);
  const requires = names.map((name) => `const { ${name} } = require('@lib/${name}');\n`).join('');
  return `${requires}console.log(${names.map((name) => `${name}('${service}')`).join(' + ')});\n`;
};

function create(tree: WorkingTree): void {
  tree.write('.dockerignore', '.git\n**/*.md\n**/*.test.js\n');
  tree.write('tools/bundle.cjs', BUNDLE);
  tree.write('README.md', '# Repository\n');
  for (const name of LIBRARIES) tree.write(`libraries/${name}/index.js`, libraryText(name));
  for (const service of SERVICES) {
    tree.write(`services/${service}/Dockerfile`, dockerfile(service));
    tree.write(`services/${service}/main.js`, serviceText(service));
    tree.write(`services/${service}/config.json`, '{ "port": 80 }\n');
  }
}

const service = (round: number) => SERVICES[(round * 5) % SERVICES.length]!;
const library = (round: number) => LIBRARIES[(round * 3) % LIBRARIES.length]!;

const KINDS: readonly (readonly [number, (round: number) => Commit])[] = [
  [
    14,
    (round) => ({
      subject: `change ${service(round)}`,
      apply: (tree) =>
        tree.edit(`services/${service(round)}/main.js`, (text) => `${text}console.log(${round});\n`),
    }),
  ],
  [
    8,
    (round) => ({
      subject: `comments in ${service(round)}`,
      apply: (tree) =>
        tree.edit(`services/${service(round)}/main.js`, (text) => `// Note ${round}.\n${text}`),
    }),
  ],
  [
    7,
    (round) => ({
      subject: `comments in the library ${library(round)}`,
      apply: (tree) =>
        tree.edit(`libraries/${library(round)}/index.js`, (text) => `// Note ${round}.\n${text}`),
    }),
  ],
  [
    6,
    (round) => ({
      subject: `change the library ${library(round)}`,
      apply: (tree) =>
        tree.edit(`libraries/${library(round)}/index.js`, (text) =>
          text.replace(/return .*/, `return '${library(round)}${round}(' + value + ')';`),
        ),
    }),
  ],
  [
    5,
    (round) => ({
      subject: 'tests and manuals',
      apply: (tree) => {
        tree.write(`libraries/${library(round)}/index.test.js`, `// ${round}\n`);
        tree.write(`services/${service(round)}/README.md`, `# ${round}\n`);
      },
    }),
  ],
  [
    5,
    (round) => ({
      subject: `a setting of ${service(round)}`,
      apply: (tree) => tree.write(`services/${service(round)}/config.json`, `{ "port": ${81 + round} }\n`),
    }),
  ],
  [
    3,
    (round) => ({
      subject: `a label of ${service(round)}`,
      apply: (tree) =>
        tree.edit(`services/${service(round)}/Dockerfile`, (text) =>
          text.replace(/title=.*/, `title=${service(round)}-${round}`),
        ),
    }),
  ],
  [
    2,
    (round) => ({
      subject: `revert ${service(round)}`,
      apply: (tree) => tree.write(`services/${service(round)}/main.js`, serviceText(service(round))),
    }),
  ],
];

export const MONOREPO: Project = {
  name: 'monorepo of 12 images',
  images: SERVICES.map((name) => ({
    name: `bench-${name}`,
    dockerfile: `services/${name}/Dockerfile`,
    proof: '/srv/started.txt',
  })),
  create,
  commits: (count) => history(count, KINDS),
};
