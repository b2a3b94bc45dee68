import { type Commit, history, type Project, type WorkingTree } from './project.js';

/** A program in C with generated headers, a library, tests, and a slim final stage. */
const DOCKERFILE = `FROM bench-base AS headers
WORKDIR /src
RUN --mount=type=bind,source=tools,target=/tools --mount=type=bind,source=schema,target=/schema \\
    sh /tools/generate.sh /schema > messages.h
RUN cc -Wall -Werror -fsyntax-only -x c messages.h
RUN sha256sum messages.h > messages.h.sha256

FROM bench-base AS build
WORKDIR /src
ARG VERSION=dev
COPY --from=headers /src/messages.h include/
COPY include ./include
COPY Makefile ./
COPY src ./src
RUN make VERSION=$VERSION && make install DESTDIR=/out

FROM build AS check
COPY test ./test
RUN sh test/run.sh /out/usr/bin/daemon > /report

FROM bench-base
RUN mkdir -p /etc/daemon && useradd --system daemon-user
COPY --from=build /out /
RUN daemon > /etc/daemon/default
COPY --from=check /report /usr/share/daemon/
COPY etc /etc/daemon
VOLUME /var/lib/daemon
EXPOSE 7000
LABEL org.opencontainers.image.title=daemon
CMD ["daemon"]
`;

const UNITS = ['queue', 'table', 'parser', 'socket', 'timer'];

const unitText = (name: string) => `#include "common.h"
int ${name}(int x) { return x + ${name.length}; }
`;

const MAKEFILE = `OBJECTS = ${UNITS.map((name) => `src/${name}.o`).join(' ')} src/main.o
CFLAGS = -O1 -Iinclude -DVERSION='"$(VERSION)"'
daemon: $(OBJECTS)
	cc -s -o $@ $(OBJECTS)
%.o: %.c include/common.h include/messages.h
	cc $(CFLAGS) -c -o $@ $<
install: daemon
	install -D daemon $(DESTDIR)/usr/bin/daemon
`;

function create(tree: WorkingTree): void {
  tree.write('Dockerfile', DOCKERFILE);
  tree.write('.dockerignore', '.git\n**/*.o\n*.md\n');
  tree.write('Makefile', MAKEFILE);
  const declarations = UNITS.map((name) => `int ${name}(int x);\n`).join('');
  tree.write('include/common.h', `#include "messages.h"\n${declarations}`);
  for (const name of UNITS) tree.write(`src/${name}.c`, unitText(name));
  const calls = UNITS.map((name) => `  sum += ${name}(sum);\n`).join('');
  tree.write(
    'src/main.c',
    `#include <stdio.h>\n#include "common.h"\nint main(void) {\n  int sum = MESSAGES;\n${calls}  printf("%s %d\\n", VERSION, sum);\n  return 0;\n}\n`,
  );
  tree.write('schema/messages.txt', 'hello\nbye\n');
  tree.write(
    'tools/generate.sh',
    'echo "#define MESSAGES $(grep -c . "$1/messages.txt")"\nn=0\nwhile read -r name; do echo "#define MESSAGE_$name $n"; n=$((n + 1)); done < "$1/messages.txt"\n',
  );
  tree.write('test/run.sh', '"$1" && echo ok\n');
  tree.write('etc/daemon.conf', 'port=7000\n');
  tree.write('README.md', '# daemon\n');
}

const pick = (round: number) => UNITS[(round * 2) % UNITS.length]!;

const KINDS: readonly (readonly [number, (round: number) => Commit])[] = [
  [
    13,
    (round) => ({
      subject: `change ${pick(round)}`,
      apply: (tree) =>
        tree.edit(`src/${pick(round)}.c`, (text) => text.replace(/x [+-] \d+/, `x + ${100 + round}`)),
    }),
  ],
  [
    9,
    (round) => ({
      subject: `comments in ${pick(round)}`,
      apply: (tree) => tree.edit(`src/${pick(round)}.c`, (text) => `/* Note ${round}. */\n${text}`),
    }),
  ],
  [
    6,
    (round) => ({
      subject: 'comments in the generator and the schema',
      apply: (tree) => tree.edit('tools/generate.sh', (text) => `# Note ${round}.\n${text}`),
    }),
  ],
  [
    5,
    (round) => ({
      subject: 'words in the manual',
      apply: (tree) => tree.edit('README.md', (text) => `${text}\nMore ${round}.\n`),
    }),
  ],
  [
    4,
    (round) => ({
      subject: 'a setting',
      apply: (tree) => tree.write('etc/daemon.conf', `port=${7001 + round}\n`),
    }),
  ],
  [
    4,
    (round) => ({
      subject: 'a test',
      apply: (tree) => tree.edit('test/run.sh', (text) => `${text}# ${round}\n`),
    }),
  ],
  [
    3,
    (round) => ({
      subject: 'a message',
      apply: (tree) => tree.edit('schema/messages.txt', (text) => `${text}more${round}\n`),
    }),
  ],
  [
    3,
    (round) => ({
      subject: 'an exposed port',
      apply: (tree) => tree.edit('Dockerfile', (text) => text.replace(/EXPOSE .*/, `EXPOSE ${7001 + round}`)),
    }),
  ],
  [
    2,
    (round) => ({
      subject: `revert ${pick(round)}`,
      apply: (tree) => tree.write(`src/${pick(round)}.c`, unitText(pick(round))),
    }),
  ],
  [1, (round) => ({ subject: 'a release', apply: () => undefined, args: { VERSION: `1.${round}` } })],
];

export const C_APP: Project = {
  name: 'C app',
  images: [{ name: 'bench-c', dockerfile: 'Dockerfile', proof: '/usr/share/daemon/report' }],
  create,
  commits: (count) => history(count, KINDS),
};
