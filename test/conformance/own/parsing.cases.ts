import type { OwnCase } from './case.js';

export const PARSING_CASES: readonly OwnCase[] = [
  {
    name: 'backtick with Windows paths',
    row: 'A1 escape',
    dockerfile: '# escape=`\nFROM base\nENV DIR=C:\\dir `\n  OTHER=x`y\nLABEL path="C:\\\\x" tick=a``b\n',
  },
  {
    name: 'key in mixed case',
    row: 'A1 escape',
    dockerfile: '#  EsCaPe = `\nFROM base\nLABEL a=1 `\n  b=2\n',
  },
  {
    name: 'after a comment it is a comment',
    row: 'A1 escape',
    dockerfile: '# a comment\n# escape=`\nFROM base\nLABEL a=1 \\\n  b=2\n',
  },
  {
    name: 'after an empty line',
    row: 'A1 escape',
    dockerfile: '\n# escape=`\nFROM base\nLABEL a=1 \\\n  b=2\n',
  },
  {
    name: 'after another directive',
    row: 'A1 escape',
    dockerfile: '# check=skip=all\n# escape=`\nFROM base\nLABEL a=1 `\n  b=2\n',
  },
  {
    name: 'an unknown directive ends the directives',
    row: 'A1 escape',
    dockerfile: '# something=else\n# escape=`\nFROM base\nLABEL a=1 \\\n  b=2\n',
  },
  {
    name: 'one directive twice',
    row: 'A1 directive rules',
    dockerfile: '# escape=`\n# escape=`\nFROM base\n',
    expect: 'fails',
  },
  {
    name: 'a letter',
    row: 'A1 escape',
    dockerfile: '# escape=x\nFROM base\n',
    expect: 'fails',
  },
  {
    name: 'warnings as errors',
    row: 'A1 check',
    dockerfile: '# check=error=true\nFROM base\nMAINTAINER me\n',
    expect: 'fails',
  },
  {
    name: 'warnings as errors, all skipped',
    row: 'A1 check',
    dockerfile: '# check=skip=all;error=true\nFROM base\nMAINTAINER me\n',
  },
  {
    name: 'before FROM',
    row: 'A1 BOM',
    dockerfile: '\ufeffFROM base\nCOPY a.txt /\n',
    files: {
      'a.txt': 'a\n',
    },
  },
  {
    name: 'before a directive',
    row: 'A1 BOM',
    dockerfile: '\ufeff# escape=`\nFROM base\nLABEL a=1 `\n  b=2\n',
  },
  {
    name: 'line ends, continuation and comment',
    row: 'A1 CRLF',
    dockerfile:
      'FROM base\r\n# comment\r\nLABEL a=1 \\\r\n  # inside\r\n  b=2\r\nRUN echo one \\\r\n && echo two > /two\r\nCOPY a.txt /\r\n',
    files: {
      'a.txt': 'a\n',
    },
  },
  {
    name: 'inside and after a continuation',
    row: 'A1 comments',
    dockerfile:
      'FROM base\nRUN echo a > /a && \\\n# at the start\n  # indented\n  echo "# kept" > /b # a comment of the shell\n  # indented alone\nLABEL a=b\n',
  },
  {
    name: 'empty lines inside a continuation',
    row: 'A1 comments',
    dockerfile: 'FROM base\nLABEL a=1 \\\n\n\n  b=2\nCMD echo \\\n\n done\n',
  },
  {
    name: 'none at the end of LABEL',
    row: 'A1 comments',
    dockerfile: 'FROM base\nLABEL a=b "#c"=d\nENV E=f#g\n',
  },
  {
    name: 'with spaces around a hash word',
    row: 'A1 comments',
    dockerfile: 'FROM base\nLABEL a=b # c=d\n',
    expect: 'fails',
  },
  {
    name: 'a line of 60000 characters',
    row: 'A1 line limit',
    dockerfile: 'FROM base AS a\nLABEL long=' + 'x'.repeat(60000) + '\nFROM scratch\nCOPY a.txt /\n',
    files: {
      'a.txt': 'a\n',
    },
  },
  {
    name: 'a line of 70000 characters',
    row: 'A1 line limit',
    dockerfile: 'FROM base AS a\nLABEL long=' + 'x'.repeat(70000) + '\nFROM scratch\nCOPY a.txt /\n',
    files: {
      'a.txt': 'a\n',
    },
    expect: 'fails',
  },
  {
    name: 'dockerfile instead of Dockerfile',
    row: 'A1 lower case',
    dockerfile: 'FROM base\nCOPY a.txt /\n',
    files: {
      'a.txt': 'a\n',
    },
    prepare: 'mv Dockerfile dockerfile',
  },
  {
    name: 'not for another name',
    row: 'A1 lower case',
    dockerfile: 'FROM base\n',
    prepare: 'mv Dockerfile other',
    options: ['-f', 'Other'],
    expect: 'fails',
  },
  {
    name: 'below the context',
    row: 'A1 file',
    dockerfile: 'FROM base\nCOPY a.txt /\n',
    files: {
      'a.txt': 'a\n',
    },
    prepare: 'mkdir deep && mv Dockerfile deep/build.df',
    options: ['-f', 'deep/build.df'],
  },
  {
    name: 'comments above FROM and ARG',
    row: 'A1 description',
    dockerfile:
      '# one about the base\nARG ONE=1\n# first the stage\nFROM base AS first\n# A about A\nARG A=$ONE\nLABEL a=$A\n',
  },
  {
    name: 'before the directives',
    row: 'A1 shebang',
    dockerfile: '#!/usr/bin/env tool\nFROM base\nLABEL a=1\n',
  },
  {
    name: 'a Dockerfile without anything',
    row: 'S1 empty',
    dockerfile: '',
    expect: 'fails',
  },
  {
    name: 'a Dockerfile of comments',
    row: 'S1 empty',
    dockerfile: '# nothing\n\n# here\n',
    expect: 'fails',
  },
  {
    name: 'ARG without FROM',
    row: 'S1 empty',
    dockerfile: 'ARG A=1\n',
    expect: 'fails',
  },
  {
    name: 'RUN before FROM',
    row: 'S1 no stage',
    dockerfile: 'RUN true\nFROM base\n',
    expect: 'fails',
  },
  {
    name: 'ENV before FROM',
    row: 'S1 no stage',
    dockerfile: 'ENV A=1\nFROM base\n',
    expect: 'fails',
  },
  {
    name: 'leading is dropped, on continuation lines it is kept',
    row: 'S1 whitespace',
    dockerfile: 'FROM base\n   \tLABEL a=1\nCMD echo one \\\n      two \\\n\tthree\n',
  },
  {
    name: 'tabs between words',
    row: 'S1 whitespace',
    dockerfile: 'FROM\tbase\nCOPY\ta.txt\t \t/t\nENV\tA  b   c \n',
    files: {
      'a.txt': 'a\n',
    },
  },
  {
    name: 'with blanks after the backslash',
    row: 'S1 continuation',
    dockerfile: 'FROM base\nLABEL a=1 \\  \t\n  b=2\n',
  },
  {
    name: 'an escaped backslash at the end',
    row: 'S1 continuation',
    dockerfile: 'FROM base\nCMD echo a\\\\\nLABEL b=1\n',
  },
  {
    name: 'inside a word',
    row: 'S1 continuation',
    dockerfile: 'FROM base\nENV LONG=one\\\ntwo\nCOPY a.\\\ntxt /\n',
    files: {
      'a.txt': 'a\n',
    },
  },
  {
    name: 'at the end of the file',
    row: 'S1 continuation',
    dockerfile: 'FROM base\nLABEL a=1 \\\n',
  },
  {
    name: 'no line end at the end of the file',
    row: 'S1 continuation',
    dockerfile: 'FROM base\nLABEL a=1',
  },
  {
    name: 'instructions in any case',
    row: 'S1 case',
    dockerfile: 'from base as One\ncopy a.txt /\nLaBeL a=1\ncmd ["x"]\n',
    files: {
      'a.txt': 'a\n',
    },
  },
  {
    name: 'an instruction',
    row: 'S1 unknown',
    dockerfile: 'FROM base\nCPOY a.txt /\n',
    files: {
      'a.txt': 'a\n',
    },
    expect: 'fails',
  },
  {
    name: 'a flag of COPY',
    row: 'S1 unknown',
    dockerfile: 'FROM base\nCOPY --form=x a.txt /\n',
    files: {
      'a.txt': 'a\n',
    },
    expect: 'fails',
  },
  {
    name: 'a flag of RUN',
    row: 'S1 unknown',
    dockerfile: 'FROM base\nRUN --nomount=x true\n',
    expect: 'fails',
  },
  {
    name: 'a flag on ENV',
    row: 'S1 unknown',
    dockerfile: 'FROM base\nENV --a=b\n',
    expect: 'fails',
  },
  {
    name: 'one of them twice',
    row: 'S1 flags',
    dockerfile: 'FROM base\nCOPY --chown=1 --chown=2 a.txt /\n',
    files: {
      'a.txt': 'a\n',
    },
    expect: 'fails',
  },
  {
    name: 'ended by two dashes',
    row: 'S1 flags',
    dockerfile: 'FROM base\nCOPY --chown=3 -- --odd /\n',
    files: {
      '--odd': 'o\n',
    },
  },
  {
    name: 'a value missing',
    row: 'S1 flags',
    dockerfile: 'FROM base\nCOPY --chown a.txt /\n',
    files: {
      'a.txt': 'a\n',
    },
    expect: 'fails',
  },
  {
    name: 'a bool with true and false',
    row: 'S1 flags',
    dockerfile: 'FROM base\nCOPY --link=true a.txt /l\nCOPY --link=false a.txt /m\n',
    files: {
      'a.txt': 'a\n',
    },
  },
  {
    name: 'a bool with another value',
    row: 'S1 flags',
    dockerfile: 'FROM base\nCOPY --link=maybe a.txt /l\n',
    files: {
      'a.txt': 'a\n',
    },
    expect: 'fails',
  },
  {
    name: 'with blanks, escapes and unicode',
    row: 'S1 JSON',
    dockerfile: 'FROM base\nCMD [ "a b" ,\t"c\\"d", "\\u00e9é", "\\\\" ]\nENTRYPOINT ["/bin/sh","-c"]\n',
  },
  {
    name: 'single quotes are the shell form',
    row: 'S1 JSON',
    dockerfile: "FROM base\nCMD ['a', 'b']\n",
  },
  {
    name: 'text after it is the shell form',
    row: 'S1 JSON',
    dockerfile: 'FROM base\nCMD ["a"] b\nENTRYPOINT ["a", ]\n',
  },
  {
    name: 'a number',
    row: 'S1 JSON',
    dockerfile: 'FROM base\nCMD ["a", 1]\n',
    expect: 'fails',
  },
  {
    name: 'empty arrays',
    row: 'S1 JSON',
    dockerfile: 'FROM base\nCMD []\nENTRYPOINT []\n',
  },
  {
    name: 'over lines',
    row: 'S1 JSON',
    dockerfile: 'FROM base\nCMD ["a", \\\n  "b", \\\n  # inside\n  "c"]\n',
  },
  {
    name: 'COPY with blanks in names',
    row: 'S1 JSON',
    dockerfile: 'FROM base\nCOPY ["a b", "c d", "/dir x/"]\n',
    files: {
      'a b': '1\n',
      'c d': '2\n',
    },
  },
  {
    name: 'COPY with a broken array',
    row: 'S1 JSON',
    dockerfile: 'FROM base\nCOPY ["a.txt", "/x" /\n',
    files: {
      'a.txt': 'a\n',
    },
    expect: 'fails',
  },
  {
    name: 'COPY with quotes around one word',
    row: 'S1 words',
    dockerfile: 'FROM base\nCOPY "a.txt" \'/q uoted\'\n',
    files: {
      'a.txt': 'a\n',
    },
    expect: 'fails',
  },
  {
    name: 'COPY with quotes without blanks',
    row: 'S1 words',
    dockerfile: 'FROM base\nCOPY "a.txt" \'/quoted\'\n',
    files: {
      'a.txt': 'a\n',
    },
  },
  {
    name: 'COPY with an escaped blank',
    row: 'S1 words',
    dockerfile: 'FROM base\nCOPY a\\ b /x\n',
    files: {
      'a b': '1\n',
    },
    expect: 'fails',
  },
  {
    name: 'USER, WORKDIR and STOPSIGNAL take the rest',
    row: 'S1 words',
    dockerfile: 'FROM base\nWORKDIR /with blank\nSTOPSIGNAL SIGINT\nMAINTAINER A B  C\nUSER app\n',
  },
  {
    name: 'legacy forms of ENV and LABEL',
    row: 'S1 words',
    dockerfile: 'FROM base\nENV A b  c "d" \\\n  e\nENV B \'q\'  x\nLABEL l one two  "three"\n',
  },
  {
    name: 'ENV without a value',
    row: 'S1 words',
    dockerfile: 'FROM base\nENV A\n',
    expect: 'fails',
  },
  {
    name: 'ENV with a pair and a word',
    row: 'S1 words',
    dockerfile: 'FROM base\nENV A=1 B\n',
    expect: 'fails',
  },
  {
    name: 'ENV with an empty name',
    row: 'S1 words',
    dockerfile: 'FROM base\nENV =1\n',
    expect: 'fails',
  },
  {
    name: 'LABEL without anything',
    row: 'S1 words',
    dockerfile: 'FROM base\nLABEL\n',
    expect: 'fails',
  },
  {
    name: 'COPY with one word',
    row: 'S1 words',
    dockerfile: 'FROM base\nCOPY a.txt\n',
    files: {
      'a.txt': 'a\n',
    },
    expect: 'fails',
  },
  {
    name: 'RUN with nothing',
    row: 'S1 words',
    dockerfile: 'FROM base\nRUN\n',
  },
  {
    name: 'CMD with nothing',
    row: 'S1 words',
    dockerfile: 'FROM base\nCMD\n',
  },
  {
    name: 'WORKDIR with nothing',
    row: 'S1 words',
    dockerfile: 'FROM base\nWORKDIR\n',
    expect: 'fails',
  },
  {
    name: 'FROM with three words',
    row: 'S1 words',
    dockerfile: 'FROM base one two\n',
    expect: 'fails',
  },
  {
    name: 'FROM with nothing after AS',
    row: 'S1 words',
    dockerfile: 'FROM base AS\n',
    expect: 'fails',
  },
  {
    name: 'starting with a digit',
    row: 'S1 stage name',
    dockerfile: 'FROM base AS 1st\n',
    expect: 'fails',
  },
  {
    name: 'with all characters',
    row: 'S1 stage name',
    dockerfile: 'FROM base AS A-b_c.1\nRUN echo 1 > /1\nFROM scratch\nCOPY --from=a-B_c.1 /1 /\n',
  },
  {
    name: 'FROM with another case',
    row: 'S1 stage name',
    dockerfile: 'FROM base AS Stage\nFROM Stage\n',
    expect: 'fails',
  },
  {
    name: 'twice, the later one wins',
    row: 'S1 stage name',
    dockerfile:
      'FROM base AS s\nRUN echo 1 > /f\nFROM base AS s\nRUN echo 2 > /f\nFROM scratch\nCOPY --from=s /f /\n',
  },
  {
    name: 'of ONBUILD',
    row: 'S1 ONBUILD',
    dockerfile: 'FROM base\nONBUILD ONBUILD RUN true\n',
    expect: 'fails',
  },
  {
    name: 'of FROM',
    row: 'S1 ONBUILD',
    dockerfile: 'FROM base\nONBUILD FROM base\n',
    expect: 'fails',
  },
  {
    name: 'of MAINTAINER',
    row: 'S1 ONBUILD',
    dockerfile: 'FROM base\nONBUILD MAINTAINER me\n',
    expect: 'fails',
  },
  {
    name: 'of nothing',
    row: 'S1 ONBUILD',
    dockerfile: 'FROM base\nONBUILD\n',
    expect: 'fails',
  },
  {
    name: 'is parsed with a backslash',
    row: 'S1 ONBUILD',
    dockerfile: '# escape=`\nFROM base AS a\nONBUILD LABEL a=x\\y b=1`2\nFROM a\n',
  },
  {
    name: 'of an unknown instruction, used',
    row: 'S1 ONBUILD',
    dockerfile: 'FROM base AS a\nONBUILD NOTHING x\nFROM a\n',
    expect: 'fails',
  },
];
