import type { OwnCase } from './case.js';

export const HEREDOC_CASES: readonly OwnCase[] = [
  {
    name: 'as a script of the shell',
    row: 'S2 RUN',
    dockerfile: 'FROM base\nRUN <<EOF\necho one > /one\n  x=$HOME\necho "$x" > /two\nEOF\nLABEL after=1\n',
  },
  {
    name: 'quoted delimiter',
    row: 'S2 RUN',
    dockerfile:
      'FROM base\nARG V=v\nRUN <<\'EOF\'\necho "$V" > /v\nEOF\nRUN <<"E O F"\necho "$V" > /w\nE O F\n',
  },
  {
    name: 'with dash and tabs',
    row: 'S2 RUN',
    dockerfile: 'FROM base\nRUN <<-EOF\n\techo one > /one\n\t\techo two >> /one\n\tEOF\n',
  },
  {
    name: 'with dash, only tabs go',
    row: 'S2 RUN',
    dockerfile: 'FROM base\nRUN cat <<-EOF > /f\n\ttab\n  blanks\n \t both\n\tEOF\n',
  },
  {
    name: 'hash-bang',
    row: 'S2 RUN',
    dockerfile:
      'FROM base\nRUN <<EOF\n#!/bin/busybox sh\necho "$0" > /zero\nls -l "$0" | cut -c1-10 > /mode\nEOF\n',
  },
  {
    name: 'hash-bang after tabs',
    row: 'S2 RUN',
    dockerfile: 'FROM base\nRUN <<-X\n\t#!/bin/sh -e\n\techo tabbed > /t\n\tX\n',
    newer: 'tabs before a hash-bang',
  },
  {
    name: 'hash-bang leaves nothing behind',
    row: 'S2 RUN',
    dockerfile:
      'FROM base\nRUN <<EOF\n#!/bin/sh\nfalse || echo done > /done\nEOF\nRUN ls -d /dev/pipes > /pipes 2>&1 || echo none > /pipes\n',
  },
  {
    name: 'into a command',
    row: 'S2 RUN',
    dockerfile:
      'FROM base\nRUN cat <<EOF > /file && echo "after" > /after\none $HOME\n\\$HOME `echo sub`\nEOF\n',
  },
  {
    name: 'two at once',
    row: 'S2 RUN',
    dockerfile: "FROM base\nRUN cat <<A > /a; cat <<'B' > /b\nin a $HOME\nA\nin b $HOME\nB\n",
  },
  {
    name: 'two, the first one the script',
    row: 'S2 RUN',
    dockerfile: 'FROM base\nRUN <<ONE <<TWO\necho one > /1\nONE\necho two > /2\nTWO\n',
  },
  {
    name: 'descriptor',
    row: 'S2 RUN',
    dockerfile: 'FROM base\nRUN cat 3<<EOF <&3 > /three\nthird\nEOF\n',
  },
  {
    name: 'a blank before the name',
    row: 'S2 RUN',
    dockerfile: 'FROM base\nRUN cat << EOF > /f\nx\nEOF\n',
  },
  {
    name: 'empty',
    row: 'S2 RUN',
    dockerfile: 'FROM base\nRUN cat <<EOF > /empty\nEOF\n',
  },
  {
    name: 'comments and continuations are kept',
    row: 'S2 RUN',
    dockerfile: 'FROM base\nRUN cat <<EOF > /f\n# not a comment\na \\\nb\n\nFROM x\nEOF\n',
  },
  {
    name: 'comments and continuations, quoted',
    row: 'S2 RUN',
    dockerfile: 'FROM base\nRUN cat <<"EOF" > /f\n# not a comment\na \\\nb\nEOF\n',
  },
  {
    name: 'after a continuation',
    row: 'S2 RUN',
    dockerfile: 'FROM base\nRUN echo first > /first && \\\n  cat <<EOF > /f\nx\nEOF\nLABEL a=1\n',
  },
  {
    name: 'with another shell and user',
    row: 'S2 RUN',
    dockerfile:
      'FROM base\nSHELL ["/bin/sh", "-eu", "-c"]\nUSER app\nWORKDIR /tmp/w\nRUN <<EOF\nid -u > id\npwd >> id\necho "$-" | tr -cd eu >> id\nEOF\n',
  },
  {
    name: 'fails in the middle with -e',
    row: 'S2 RUN',
    dockerfile: 'FROM base\nSHELL ["/bin/sh", "-e", "-c"]\nRUN <<EOF\nfalse\necho no > /no\nEOF\n',
    expect: 'fails',
  },
  {
    name: 'goes on without -e',
    row: 'S2 RUN',
    dockerfile: 'FROM base\nRUN <<EOF\nfalse\necho yes > /yes\nEOF\n',
  },
  {
    name: 'with a mount',
    row: 'S2 RUN',
    dockerfile: 'FROM base\nRUN --mount=target=/ctx <<EOF\ncat /ctx/a.txt > /copied\nEOF\n',
    files: {
      'a.txt': 'a\n',
    },
  },
  {
    name: 'not in the exec form',
    row: 'S2 RUN',
    dockerfile: 'FROM base\nRUN ["/bin/sh", "-c", "echo \'<<EOF\' > /f"]\n',
  },
  {
    name: 'a shift is none',
    row: 'S2 RUN',
    dockerfile: 'FROM base\nRUN echo $((1<<3)) > /shift\n',
  },
  {
    name: 'without its end',
    row: 'S2 RUN',
    dockerfile: 'FROM base\nRUN <<EOF\necho\n',
    expect: 'fails',
  },
  {
    name: 'the end in other words',
    row: 'S2 RUN',
    dockerfile: 'FROM base\nRUN cat <<EOF > /f\nEOF \n EOF\nEOFX\nEOF\n',
  },
  {
    name: 'CRLF',
    row: 'S2 RUN',
    dockerfile: 'FROM base\r\nRUN cat <<EOF > /f\r\none\r\ntwo\r\nEOF\r\nLABEL a=1\r\n',
  },
  {
    name: 'expanded',
    row: 'S2 COPY',
    dockerfile:
      'FROM base\nARG A=arg\nENV E=env\nCOPY <<EOF /f\n$A ${E} ${NONE:-default} \\$A "quoted $A" \'single $A\' \\\\ \\n\nEOF\n',
  },
  {
    name: 'quoted is not expanded',
    row: 'S2 COPY',
    dockerfile: 'FROM base\nARG A=arg\nCOPY <<"EOF" /f\n$A ${E} \\$A "x"\nEOF\nCOPY <<\'X\' /g\n$A\nX\n',
  },
  {
    name: 'into a directory',
    row: 'S2 COPY',
    dockerfile: 'FROM base\nCOPY <<one.txt <<two.txt /dir/\n1\none.txt\n2\ntwo.txt\n',
  },
  {
    name: 'with a file',
    row: 'S2 COPY',
    dockerfile: 'FROM base\nCOPY <<x a.txt /dir/\n1\nx\n',
    files: {
      'a.txt': 'a\n',
    },
  },
  {
    name: '--chmod and --chown',
    row: 'S2 COPY',
    dockerfile:
      'FROM base\nCOPY --chmod=751 --chown=app:video <<EOF /f\nx\nEOF\nCOPY --chown=7 <<EOF /g\nx\nEOF\n',
  },
  {
    name: 'with dash',
    row: 'S2 COPY',
    dockerfile: 'FROM base\nCOPY <<-EOF /f\n\tone\n\t\ttwo\n  three\n\tEOF\n',
  },
  {
    name: 'relative to WORKDIR, with a variable',
    row: 'S2 COPY',
    dockerfile: 'FROM base\nENV N=name\nWORKDIR /w\nCOPY <<EOF $N.txt\nx\nEOF\nCOPY <<EOF ./\nx\nEOF\n',
  },
  {
    name: 'empty',
    row: 'S2 COPY',
    dockerfile: 'FROM base\nCOPY <<EOF /empty\nEOF\n',
  },
  {
    name: 'over a file of the image',
    row: 'S2 COPY',
    dockerfile: 'FROM base\nCOPY <<EOF /etc/os-release\nID=x\nEOF\n',
  },
  {
    name: 'an undefined variable that is needed',
    row: 'S2 COPY',
    dockerfile: 'FROM base\nCOPY <<EOF /f\n${NONE:?needed}\nEOF\n',
    expect: 'fails',
  },
  {
    name: 'to two paths without a slash',
    row: 'S2 COPY',
    dockerfile: 'FROM base\nCOPY <<a <<b /same\n1\na\n2\nb\n',
  },
  {
    name: 'CRLF',
    row: 'S2 COPY',
    dockerfile: 'FROM base\r\nCOPY <<EOF /f\r\none\r\ntwo\r\nEOF\r\n',
  },
  {
    name: 'the same as COPY',
    row: 'S2 ADD',
    dockerfile: 'FROM base\nADD --chmod=600 <<EOF /f\nx\nEOF\nADD <<a <<b /d/\n1\na\n2\nb\n',
  },
  {
    name: 'in a trigger',
    row: 'S2 ONBUILD',
    dockerfile:
      'FROM base AS a\nONBUILD RUN <<EOF\necho trigger > /t\nEOF\nONBUILD COPY <<EOF /c\nbody\nEOF\nFROM a\n',
  },
  {
    name: 'ENV and LABEL know none',
    row: 'S2 other',
    dockerfile: 'FROM base\nENV A=<<EOF\nLABEL b=<<X\n',
  },
];
