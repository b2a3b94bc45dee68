import type { OwnCase } from './case.js';

export const METADATA_CASES: readonly OwnCase[] = [
  {
    name: 'absolute, relative, cleaned',
    row: 'S7 WORKDIR',
    dockerfile: 'FROM base\nWORKDIR /a//b/./c/../d/\nWORKDIR e\nWORKDIR ..\nRUN pwd > /p\n',
  },
  {
    name: 'one that is there makes a layer',
    row: 'S7 WORKDIR',
    dockerfile: 'FROM base\nWORKDIR /tmp\nWORKDIR /etc\n',
  },
  {
    name: 'the root makes none',
    row: 'S7 WORKDIR',
    dockerfile: 'FROM base\nWORKDIR /\nWORKDIR ../..\n',
  },
  {
    name: 'owned by USER',
    row: 'S7 WORKDIR',
    dockerfile: 'FROM base\nUSER app\nWORKDIR /m/n\nUSER 5:6\nWORKDIR /o\nUSER daemon:video\nWORKDIR p\n',
  },
  {
    name: 'of an unknown user',
    row: 'S7 WORKDIR',
    dockerfile: 'FROM base\nUSER stranger\nWORKDIR /m\n',
  },
  {
    name: 'a tilde is a name',
    row: 'S7 WORKDIR',
    dockerfile: 'FROM base\nWORKDIR ~/x\n',
  },
  {
    name: 'on scratch',
    row: 'S7 WORKDIR',
    dockerfile: 'FROM scratch\nWORKDIR /w\nWORKDIR x\n',
  },
  {
    name: 'through a symlink',
    row: 'S7 WORKDIR',
    dockerfile: 'FROM base\nRUN mkdir /real && ln -s real /l\nWORKDIR /l/sub\nRUN pwd > out\n',
  },
  {
    name: 'onto a file',
    row: 'S7 WORKDIR',
    dockerfile: 'FROM base\nWORKDIR /etc/profile\n',
    expect: 'fails',
  },
  {
    name: 'inherited by a stage',
    row: 'S7 WORKDIR',
    dockerfile: 'FROM base AS a\nWORKDIR /a\nFROM a\nWORKDIR b\nCOPY a.txt .\n',
    files: {
      'a.txt': 'a\n',
    },
  },
  {
    name: 'is kept as it is',
    row: 'S7 USER',
    dockerfile: 'FROM base\nUSER nobody:nogroup\n',
  },
  {
    name: 'empty variable',
    row: 'S7 USER',
    dockerfile: 'FROM base\nUSER $NONE\n',
  },
  {
    name: 'plain and JSON',
    row: 'S7 VOLUME',
    dockerfile: 'FROM base\nVOLUME /a /b\nVOLUME ["/c d", "/e"]\nVOLUME rel\n',
  },
  {
    name: 'an empty name',
    row: 'S7 VOLUME',
    dockerfile: 'FROM base\nVOLUME [""]\n',
    expect: 'fails',
  },
  {
    name: 'none',
    row: 'S7 VOLUME',
    dockerfile: 'FROM base\nVOLUME []\n',
    expect: 'fails',
  },
  {
    name: 'without anything',
    row: 'S7 VOLUME',
    dockerfile: 'FROM base\nVOLUME\n',
    expect: 'fails',
  },
  {
    name: 'later changes are kept',
    row: 'S7 VOLUME',
    dockerfile: 'FROM base\nVOLUME /v\nRUN mkdir -p /v && echo 1 > /v/f\nCOPY a.txt /v/\n',
    files: {
      'a.txt': 'a\n',
    },
  },
  {
    name: 'sorted, with protocols and ranges',
    row: 'S7 EXPOSE',
    dockerfile: 'FROM base\nEXPOSE 443 80/tcp 53/UDP 9/sctp 8000-8002/udp 80\n',
  },
  {
    name: 'several instructions',
    row: 'S7 EXPOSE',
    dockerfile: 'FROM base\nEXPOSE 80\nEXPOSE 81/udp 80\n',
  },
  {
    name: 'an unknown protocol',
    row: 'S7 EXPOSE',
    dockerfile: 'FROM base\nEXPOSE 80/xyz\n',
    expect: 'fails',
  },
  {
    name: 'too large',
    row: 'S7 EXPOSE',
    dockerfile: 'FROM base\nEXPOSE 65536\n',
    expect: 'fails',
  },
  {
    name: 'not a number',
    row: 'S7 EXPOSE',
    dockerfile: 'FROM base\nEXPOSE http\n',
    expect: 'fails',
  },
  {
    name: 'a range upside down',
    row: 'S7 EXPOSE',
    dockerfile: 'FROM base\nEXPOSE 90-80\n',
    expect: 'fails',
  },
  {
    name: 'negative',
    row: 'S7 EXPOSE',
    dockerfile: 'FROM base\nEXPOSE -1\n',
    expect: 'fails',
  },
  {
    name: 'an address and a host port',
    row: 'S7 EXPOSE',
    dockerfile: 'FROM base\nEXPOSE 127.0.0.1:80:8080 81:8081\n',
  },
  {
    name: 'zero and nothing',
    row: 'S7 EXPOSE',
    dockerfile: 'FROM base\nEXPOSE 0\nEXPOSE $NONE\n',
  },
  {
    name: 'without anything',
    row: 'S7 EXPOSE',
    dockerfile: 'FROM base\nEXPOSE\n',
    expect: 'fails',
  },
  {
    name: 'names, replaced, quoted',
    row: 'A2 LABEL',
    dockerfile: 'FROM base\nLABEL a=1 "b c"="d e" com.example/x=\'y z\'\nLABEL a=2 e= f="multi \\\nline"\n',
  },
  {
    name: '--label of the command line',
    row: 'A2 LABEL',
    dockerfile: 'FROM base\nLABEL a=1\nLABEL b=2\n',
    options: ['--label', 'b=3', '--label', 'c=d e', '--label', 'empty='],
  },
  {
    name: 'the author',
    row: 'A2 MAINTAINER',
    dockerfile: 'FROM base\nMAINTAINER One <a@b>\nMAINTAINER "Two"\n',
  },
  {
    name: 'a name',
    row: 'A2 STOPSIGNAL',
    dockerfile: 'FROM base\nSTOPSIGNAL SIGTERM\n',
  },
  {
    name: 'a number',
    row: 'A2 STOPSIGNAL',
    dockerfile: 'FROM base\nSTOPSIGNAL 9\n',
  },
  {
    name: 'a short name',
    row: 'A2 STOPSIGNAL',
    dockerfile: 'FROM base\nSTOPSIGNAL kill\n',
  },
  {
    name: 'realtime',
    row: 'A2 STOPSIGNAL',
    dockerfile: 'FROM base\nSTOPSIGNAL RTMIN+3\n',
  },
  {
    name: 'an unknown name',
    row: 'A2 STOPSIGNAL',
    dockerfile: 'FROM base\nSTOPSIGNAL SIGNONE\n',
    expect: 'fails',
  },
  {
    name: 'zero',
    row: 'A2 STOPSIGNAL',
    dockerfile: 'FROM base\nSTOPSIGNAL 0\n',
    expect: 'fails',
  },
  {
    name: 'a large number',
    row: 'A2 STOPSIGNAL',
    dockerfile: 'FROM base\nSTOPSIGNAL 300\n',
  },
  {
    name: 'for RUN, CMD and ENTRYPOINT',
    row: 'A2 SHELL',
    dockerfile:
      'FROM base\nSHELL ["/bin/sh", "-euc"]\nRUN echo "$-" | tr -cd eu > /f\nCMD one  two\nSHELL ["/bin/busybox", "sh", "-c"]\nENTRYPOINT exec x\n',
  },
  {
    name: 'not JSON',
    row: 'A2 SHELL',
    dockerfile: 'FROM base\nSHELL /bin/sh -c\n',
    expect: 'fails',
  },
  {
    name: 'empty',
    row: 'A2 SHELL',
    dockerfile: 'FROM base\nSHELL []\n',
    expect: 'fails',
  },
  {
    name: 'goes to a child stage',
    row: 'A2 SHELL',
    dockerfile: 'FROM base AS a\nSHELL ["/bin/busybox", "sh", "-c"]\nFROM a\nCMD x\n',
  },
  {
    name: 'shell and JSON forms',
    row: 'A2 CMD',
    dockerfile: 'FROM base\nCMD echo "a  b"   $X\nCMD ["x", "y z"]\n',
  },
  {
    name: 'drops the CMD of the base',
    row: 'S7 ENTRYPOINT',
    dockerfile: 'FROM base\nENTRYPOINT ["e"]\n',
  },
  {
    name: 'keeps the CMD of the same stage',
    row: 'S7 ENTRYPOINT',
    dockerfile: 'FROM base\nCMD ["c"]\nENTRYPOINT ["e"]\n',
  },
  {
    name: 'drops the CMD of the parent stage',
    row: 'S7 ENTRYPOINT',
    dockerfile: 'FROM base AS a\nCMD ["c"]\nFROM a\nENTRYPOINT e f\n',
  },
  {
    name: 'empty',
    row: 'S7 ENTRYPOINT',
    dockerfile: 'FROM base AS a\nENTRYPOINT ["e"]\nFROM a\nENTRYPOINT []\n',
  },
  {
    name: 'shell form with all flags',
    row: 'A2 HEALTHCHECK',
    dockerfile:
      'FROM base\nHEALTHCHECK --interval=5m --timeout=3s --start-period=1m30s --start-interval=500ms --retries=4 CMD wget -q  http://x || exit 1\n',
  },
  {
    name: 'exec form, the last one counts',
    row: 'A2 HEALTHCHECK',
    dockerfile: 'FROM base\nHEALTHCHECK CMD x\nHEALTHCHECK --retries=0 --interval=0s CMD ["a", "b c"]\n',
  },
  {
    name: 'NONE',
    row: 'A2 HEALTHCHECK',
    dockerfile: 'FROM base\nHEALTHCHECK none\n',
  },
  {
    name: 'with another SHELL',
    row: 'A2 HEALTHCHECK',
    dockerfile: 'FROM base\nSHELL ["/bin/x"]\nHEALTHCHECK cmd  y z\n',
  },
  {
    name: 'less than a millisecond',
    row: 'A2 HEALTHCHECK',
    dockerfile: 'FROM base\nHEALTHCHECK --interval=1us CMD x\n',
    expect: 'fails',
  },
  {
    name: 'a negative duration',
    row: 'A2 HEALTHCHECK',
    dockerfile: 'FROM base\nHEALTHCHECK --timeout=-1s CMD x\n',
    expect: 'fails',
  },
  {
    name: 'negative retries',
    row: 'A2 HEALTHCHECK',
    dockerfile: 'FROM base\nHEALTHCHECK --retries=-1 CMD x\n',
    expect: 'fails',
  },
  {
    name: 'a duration without a unit',
    row: 'A2 HEALTHCHECK',
    dockerfile: 'FROM base\nHEALTHCHECK --interval=5 CMD x\n',
    expect: 'fails',
  },
  {
    name: 'an unknown type',
    row: 'A2 HEALTHCHECK',
    dockerfile: 'FROM base\nHEALTHCHECK RUN x\n',
    expect: 'fails',
  },
  {
    name: 'CMD without a command',
    row: 'A2 HEALTHCHECK',
    dockerfile: 'FROM base\nHEALTHCHECK CMD\n',
    expect: 'fails',
  },
  {
    name: 'NONE with more',
    row: 'A2 HEALTHCHECK',
    dockerfile: 'FROM base\nHEALTHCHECK NONE x\n',
    expect: 'fails',
  },
  {
    name: 'on scratch',
    row: 'S7 PATH',
    dockerfile: 'FROM scratch\nCOPY a.txt /\n',
    files: {
      'a.txt': 'a\n',
    },
  },
  {
    name: 'set on scratch',
    row: 'S7 PATH',
    dockerfile: 'FROM scratch\nENV PATH=/x A=b\nCOPY a.txt /\n',
    files: {
      'a.txt': 'a\n',
    },
  },
  {
    name: 'nothing but FROM',
    row: 'S7 config',
    dockerfile: 'FROM base\n',
  },
  {
    name: 'scratch with metadata only',
    row: 'S7 config',
    dockerfile: 'FROM scratch\nLABEL a=1\nCMD ["x"]\n',
  },
  {
    name: 'scratch alone',
    row: 'S7 config',
    dockerfile: 'FROM scratch\n',
  },
  {
    name: 'all of it',
    row: 'S7 config',
    dockerfile:
      'FROM base\nENV A=1\nLABEL l=1\nUSER app\nWORKDIR /w\nVOLUME /v\nEXPOSE 1\nSTOPSIGNAL 1\nHEALTHCHECK CMD x\nSHELL ["s"]\nONBUILD RUN x\nENTRYPOINT ["e"]\nCMD ["c"]\nMAINTAINER m\n',
  },
  {
    name: 'is kept in order',
    row: 'A2 ONBUILD',
    dockerfile: 'FROM base\nONBUILD RUN echo  1\nONBUILD COPY --chown=1 a /b\nonbuild env a=b\n',
  },
  {
    name: 'of a parent stage runs first and goes away',
    row: 'A2 ONBUILD',
    dockerfile:
      'FROM base AS a\nONBUILD ENV A=1\nONBUILD COPY a.txt /o/\nONBUILD RUN echo $A > /run\nFROM a AS b\nENV B=$A\nRUN cat /run > /later\nFROM b\nLABEL b=$B\n',
    files: {
      'a.txt': 'a\n',
    },
  },
  {
    name: 'of all kinds',
    row: 'A2 ONBUILD',
    dockerfile:
      'FROM base AS a\nONBUILD WORKDIR /w\nONBUILD USER app\nONBUILD CMD ["x"]\nONBUILD EXPOSE 80\nONBUILD LABEL l=1\nONBUILD VOLUME /v\nONBUILD SHELL ["/bin/busybox", "sh", "-c"]\nFROM a\nRUN id -u > /tmp/id\n',
  },
  {
    name: 'COPY --from a stage',
    row: 'A2 ONBUILD',
    dockerfile:
      'FROM base AS tools\nRUN echo t > /t\nFROM base AS a\nONBUILD COPY --from=tools /t /t\nFROM a\n',
  },
];
