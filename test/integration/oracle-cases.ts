import type { ContextEntry } from '../kit/context.js';

/** One Dockerfile, built here and by a real builder. `base` is a busybox image that both have. */
export interface OracleCase {
  readonly name: string;
  readonly dockerfile: string;
  readonly files?: Readonly<Record<string, ContextEntry>>;
  readonly options?: readonly string[];
  /** Made of the context by a shell before the build: archives, hard links, special modes. */
  readonly prepare?: string;
  /** Known differences: the line of the comparison as a regular expression, and why it differs. */
  readonly known?: Readonly<Record<string, string>>;
}

/**
 * Texts of the history that changed after the BuildKit 0.8 of Debian's Docker 20.10; tsbuild writes those of BuildKit 0.32.
 * Files and config are not concerned.
 */
export const KNOWN_EVERYWHERE: Readonly<Record<string, string>> = {
  'history\\.\\d+\\.by: "EXPOSE \\[.*" <> "EXPOSE map\\[.*"': 'newer versions print the ports as a list',
  'history\\.\\d+\\.by: "(COPY|ADD) --ch(own|mod)=.*': 'newer versions keep --chown and --chmod',
  'history\\.\\d+\\.by: "ARG .*': 'newer versions print the value in effect',
  'history\\.\\d+\\.by: "HEALTHCHECK .*': 'newer versions have the start interval',
  'history\\.\\d+\\.by: "RUN \\|1 INHERITED=arg .*': 'newer versions list the ARGs of the parent stage',
};

export const ORACLE_CASES: readonly OracleCase[] = [
  {
    name: 'COPY --from a stage with wildcards below a directory',
    dockerfile:
      'FROM base AS made\nRUN mkdir -p /a/b/c && touch /a/b/1 /a/b/2 /a/b/c/3\nFROM base\nCOPY --from=made /a/b/* /all/\nCOPY --from=made a/*/[0-9] /digits/\nCOPY --from=made /a[^x]b/? /slash/\n',
  },
  {
    name: 'FROM, ADD and CMD',
    dockerfile: 'FROM base\nADD hello.sh .\nCMD ["sh", "hello.sh"]\n',
    files: { 'hello.sh': { text: 'echo Hallo\n', mode: 0o755 } },
  },
  {
    name: 'RUN in shell form and in exec form',
    dockerfile:
      'FROM base\nRUN echo one > /one && mkdir -p /d/e && chmod 700 /d\nRUN ["/bin/sh", "-c", "echo two > /two"]\n',
  },
  {
    name: 'RUN that deletes, renames and links',
    dockerfile:
      'FROM base\nRUN mkdir /d && echo a > /d/a && echo b > /d/b\nRUN rm /d/a && mv /d/b /d/c && ln /d/c /d/hard && ln -s c /d/soft && mkfifo /d/pipe\nRUN rm -rf /etc/profile && mkdir /etc/profile && echo x > /etc/profile/x\n',
  },
  {
    name: 'RUN with setuid, sticky and other owners',
    dockerfile:
      'FROM base\nRUN echo a > /a && chown 1234:4321 /a && chmod 4755 /a && mkdir /t && chmod 1777 /t && mkdir /g && chown 7:8 /g && chmod 2775 /g\n',
  },
  {
    name: 'ENV in both forms, expanded later',
    dockerfile:
      'FROM base\nENV A=1 B="two words" C=$A\nENV LEGACY some text here\nENV A=2 D=${A}-${B:-x}-${Z:-default}${Z:+no}\nRUN echo "$A|$B|$C|$D|$LEGACY" > /env\n',
  },
  {
    name: 'ARG with and without default, from the command line and global',
    dockerfile:
      'ARG TAG=latest\nARG GLOBAL=g\nFROM base:${TAG}\nARG GLOBAL\nARG WITH=default\nARG GIVEN=unset\nARG NONE\nRUN echo "$GLOBAL|$WITH|$GIVEN|$NONE" > /args\nENV KEEP=$GIVEN\n',
    options: ['--build-arg', 'GIVEN=command line'],
  },
  {
    name: 'ARG after ENV and ENV after ARG',
    dockerfile:
      'FROM base\nENV X=env\nARG X=arg\nRUN echo "$X" > /x\nARG Y=arg\nENV Y=env\nRUN echo "$Y" > /y\n',
  },
  {
    name: 'WORKDIR absolute, relative and with variables',
    dockerfile:
      'FROM base\nENV DIR=sub\nWORKDIR /work\nWORKDIR $DIR\nRUN pwd > here\nWORKDIR ../other\nRUN pwd > /pwd\n',
  },
  {
    name: 'USER by name, by number and with a group',
    dockerfile:
      'FROM base\nUSER nobody\nRUN id -u > /tmp/nobody; id -G >> /tmp/nobody\nUSER 1234\nRUN id -u > /tmp/1234; id -g >> /tmp/1234\nUSER 0:7\nRUN id -g > /tmp/group\nWORKDIR /made\nUSER daemon\nWORKDIR /made/by/daemon\n',
  },
  {
    name: 'LABEL, MAINTAINER and STOPSIGNAL',
    dockerfile:
      'FROM base\nMAINTAINER Somebody <some@body>\nLABEL one=1 "two words"="2 2" three=\'$3\'\nLABEL multi="a\\\nb" one=11\nSTOPSIGNAL SIGUSR1\n',
  },
  {
    name: 'EXPOSE with ranges, protocols and variables',
    dockerfile: 'FROM base\nENV PORTS="9000 9001/udp"\nEXPOSE 80 443/TCP 53/udp 8000-8003\nEXPOSE $PORTS\n',
  },
  {
    name: 'VOLUME in both forms, with a write after it',
    dockerfile:
      'FROM base\nVOLUME /data /more\nVOLUME ["/json", "/with space"]\nRUN mkdir -p /data && echo kept > /data/file\n',
  },
  {
    name: 'ENTRYPOINT and CMD in shell form',
    dockerfile: 'FROM base\nCMD echo $HOME\nENTRYPOINT exec top -b\nCMD echo again\n',
  },
  {
    name: 'SHELL',
    dockerfile:
      'FROM base\nSHELL ["/bin/sh", "-e", "-c"]\nRUN echo "$-" | tr -d s > /flags; test -s /flags\nCMD echo shell form\n',
  },
  {
    name: 'HEALTHCHECK',
    dockerfile:
      'FROM base\nHEALTHCHECK NONE\nHEALTHCHECK --interval=5m --timeout=3s --start-period=1m30s --retries=4 CMD wget -q -O /dev/null http://localhost/ || exit 1\n',
  },
  {
    name: 'ONBUILD across stages',
    dockerfile:
      'FROM base AS parent\nONBUILD RUN echo triggered > /onbuild\nONBUILD ENV FROM_PARENT=yes\nONBUILD COPY a.txt /copied/\n\nFROM parent\nRUN cat /onbuild > /later\n',
    files: { 'a.txt': 'a\n' },
  },
  {
    name: 'ONBUILD kept for others',
    dockerfile: 'FROM base\nONBUILD RUN echo later\nONBUILD ADD . /app\n',
  },
  {
    name: 'COPY of files, several sources, rename',
    dockerfile:
      'FROM base\nCOPY a.txt /renamed.txt\nCOPY a.txt b.txt /both/\nCOPY ["with space.txt", "/dst dir/"]\nWORKDIR /w\nCOPY a.txt .\nCOPY b.txt sub/\n',
    files: { 'a.txt': 'a\n', 'b.txt': { text: 'b\n', mode: 0o600 }, 'with space.txt': 'c\n' },
  },
  {
    name: 'COPY of directories, merged and nested',
    dockerfile:
      'FROM base\nRUN mkdir -p /dst/keep /dst/sub && chmod 700 /dst/sub && echo old > /dst/sub/old\nCOPY src /dst\nCOPY src/ /other/\nCOPY src/sub /dst/renamed\nCOPY . /all\n',
    files: {
      'src/one': '1\n',
      'src/sub/two': '2\n',
      'src/sub': { directory: true, mode: 0o750 },
      'src/empty': { directory: true, mode: 0o711 },
      'src/.hidden': 'h\n',
    },
  },
  {
    name: 'COPY with wildcards',
    dockerfile: 'FROM base\nCOPY *.txt /t/\nCOPY dir*/f? /f/\nCOPY [ab].md /m/\nCOPY none*.x a.txt /n/\n',
    files: {
      'a.txt': 'a\n',
      'b.txt': 'b\n',
      'dir1/f1': '1\n',
      'dir2/f2': '2\n',
      'dir2/far': 'no\n',
      'a.md': 'A\n',
      'b.md': 'B\n',
      'c.md': 'C\n',
    },
  },
  {
    name: 'COPY of links',
    dockerfile:
      'FROM base\nCOPY dir /links\nCOPY link-to-file /file-through-link\nCOPY link-to-dir /dir-through-link\nCOPY link-to-dir/ /dir-with-slash/\n',
    files: {
      'dir/file': 'f\n',
      'dir/soft': { link: 'file' },
      'dir/dangling': { link: '/nowhere' },
      'link-to-file': { link: 'dir/file' },
      'link-to-dir': { link: 'dir' },
    },
  },
  {
    name: 'COPY into a symlinked directory',
    dockerfile:
      'FROM base\nRUN mkdir -p /real/deep && ln -s /real /abs && ln -s real/deep /rel && ln -s /not/there /dangling\nCOPY a.txt /abs/\nCOPY a.txt /rel/renamed\nCOPY a.txt /abs/deep/new/a\n',
    files: { 'a.txt': 'a\n' },
  },
  {
    name: 'COPY --chown by number and by name',
    dockerfile:
      'FROM base\nCOPY --chown=1000:1001 src /numbers\nCOPY --chown=daemon src /name\nCOPY --chown=nobody:video src/one /made/by/name\nCOPY --chown=55 src /uid-only/\n',
    files: { 'src/one': '1\n', 'src/sub/two': '2\n' },
  },
  {
    name: 'COPY --chmod',
    dockerfile:
      'FROM base\nCOPY --chmod=640 a.txt /a\nCOPY --chmod=4755 a.txt /suid\nCOPY --chmod=750 src /tree\nCOPY --chmod=604 a.txt /new/parent/a\n',
    files: { 'a.txt': 'a\n', 'src/one': '1\n', 'src/sub/two': { text: '2\n', mode: 0o600 } },
    known: {
      'tree\\./suid\\.mode: .*': 'BuildKit 0.8 drops setuid from --chmod; that of Docker 28.5 keeps it',
      'tree\\./(new|new/parent|tree)\\.mode: .*':
        'BuildKit 0.8 makes directories 755; that of Docker 28.5 gives them the mode of --chmod',
    },
  },
  {
    name: 'COPY --from a stage, an index and a later state',
    dockerfile:
      'FROM base AS one\nRUN mkdir -p /out/d && echo 1 > /out/f && chown 5:6 /out/f && ln -s f /out/l && ln /out/f /out/h\nFROM base\nRUN echo 2 > /two\nFROM base\nCOPY --from=one /out /from-name\nCOPY --from=ONE /out/f /single\nCOPY --from=1 two /from-index\nCOPY --from=0 --chown=9:9 /out/. /chowned/\n',
  },
  {
    name: 'FROM an earlier stage',
    dockerfile:
      'FROM base AS a\nENV FROM_A=1\nARG INHERITED=arg\nWORKDIR /w\nCMD ["a"]\nFROM a AS b\nENTRYPOINT ["b"]\nRUN echo "$FROM_A $INHERITED" > f\nFROM b\nLABEL c=1\nRUN cat f > g\n',
  },
  {
    name: '--target',
    dockerfile:
      'FROM base AS a\nRUN echo a > /a\nFROM base AS Wanted\nCOPY --from=a /a /b\nFROM base\nRUN false\n',
    options: ['--target', 'wanted'],
  },
  {
    name: 'FROM scratch',
    dockerfile: 'FROM scratch\nCOPY a.txt /etc/a.txt\nCOPY dir /\nENV X=1\nCMD ["/none"]\n',
    files: { 'a.txt': 'a\n', 'dir/x/y': 'y\n' },
  },
  {
    name: 'ADD of archives in every compression',
    dockerfile:
      'FROM base\nADD plain.tar /plain\nADD gz.tar.gz /gz/\nADD bz.tar.bz2 xz.tar.xz /two/\nADD notes.txt.gz /not-an-archive/\nADD --chown=3:4 plain.tar /owned/\n',
    files: { 'in/a': 'a\n', 'in/dir/b': { text: 'b\n', mode: 0o600 }, 'notes.txt': 'only text\n' },
    known: {
      'tree\\./owned/.*\\.[ug]id: .*':
        'BuildKit 0.8 keeps the owners of the archive, newer versions give all files to --chown',
    },
    prepare:
      'ln -s a in/soft && ln in/a in/hard && chmod 4755 in/dir/b && chown 12:34 in/a && tar cf plain.tar -C in . && tar czf gz.tar.gz -C in . && tar cjf bz.tar.bz2 -C in a && tar cJf xz.tar.xz -C in dir && gzip -n notes.txt && rm -r in',
  },
  {
    name: '.dockerignore',
    dockerfile: 'FROM base\nCOPY . /ctx\nCOPY logs /logs\n',
    files: {
      '.dockerignore':
        '# comment\n*.tmp\n**/*.o\nnode_modules\nlogs/*\n!logs/keep.log\ndocs/**/draft\n!README.md\n/Dockerfile\nDockerfile\n',
      'a.tmp': 't\n',
      'sub/b.tmp': 'kept\n',
      'sub/c.o': 'o\n',
      'node_modules/m/index.js': 'm\n',
      'sub/node_modules/kept': 'k\n',
      'logs/drop.log': 'd\n',
      'logs/keep.log': 'k\n',
      'docs/a/b/draft/x': 'x\n',
      'docs/a/final': 'f\n',
      'README.md': 'r\n',
    },
  },
  {
    name: 'directives, continuations and comments',
    dockerfile:
      '# escape=`\nFROM base\n# a comment\nRUN echo one && `\n  # inside\n  echo two `\n\n  && echo three > /c\nENV PATH_LIKE=C:\\dir\nRUN echo "$PATH_LIKE" > /p\n',
  },
  {
    name: 'variable expansion in every instruction that has it',
    dockerfile:
      'FROM base\nARG V=val\nENV E=${V} F="${V}/x" G=\'${V}\' H=\\$V\nLABEL l=$E\nWORKDIR /$E\nCOPY $E.txt ${F}/\nADD ${E}.txt ./$E-added\nUSER ${NOBODY:-nobody}\nEXPOSE ${PORT:-8080}\nSTOPSIGNAL ${SIG:-SIGTERM}\nVOLUME /${E}-volume\n',
    files: { 'val.txt': 'v\n' },
  },
  {
    name: 'extended attributes and empty files',
    dockerfile:
      'FROM base\nCOPY empty /e/empty\nRUN touch /e/new && dd if=/dev/zero of=/e/zeros bs=1k count=70 2>/dev/null && truncate -s 1048576 /e/sparse\nRUN touch /e/empty && chmod 644 /e/new\n',
    files: { empty: '' },
  },
  {
    name: '--label and --build-arg of the command line',
    dockerfile: 'FROM base\nARG VERSION\nLABEL version=$VERSION kept=file\n',
    options: ['--label', 'by=command', '--label', 'kept=command', '--build-arg', 'VERSION=1.2'],
  },
];
