import type { OwnCase } from './case.js';

export const VARIABLE_CASES: readonly OwnCase[] = [
  {
    name: 'plain, braces, escaped, quoted',
    row: 'A4 forms',
    dockerfile:
      'FROM base\nENV A=a\nLABEL 1=$A 2=${A} 3=\\$A 4=\'$A\' 5="$A" 6="\\$A" 7=$A$A 8=${A}b 9=$Ab x=$ y=a$ z=\'a"b\'\n',
  },
  {
    name: 'default and alternative',
    row: 'A4 forms',
    dockerfile:
      'FROM base\nENV SET=s EMPTY=\nLABEL 1=${SET:-d} 2=${EMPTY:-d} 3=${NO:-d} 4=${SET-d} 5=${EMPTY-d} 6=${NO-d} 7=${SET:+a} 8=${EMPTY:+a} 9=${NO:+a} 10=${SET+a} 11=${EMPTY+a} 12=${NO+a}\n',
  },
  {
    name: 'nested',
    row: 'A4 forms',
    dockerfile:
      'FROM base\nENV A=a B=b\nLABEL 1=${NO:-${A}} 2=${NO:-${NO2:-${B}}} 3=${A:+x${B}y} 4="${NO:-two words}" 5=${NO:-"q"} 6=${NO:-\\}}\n',
  },
  {
    name: 'required and there',
    row: 'A4 forms',
    dockerfile: 'FROM base\nENV A=a E=\nLABEL 1=${A:?no} 2=${A?no} 3=${E?no}\n',
  },
  {
    name: 'required and empty',
    row: 'A4 forms',
    dockerfile: 'FROM base\nENV E=\nLABEL 1=${E:?must be set}\n',
    expect: 'fails',
  },
  {
    name: 'required and not set',
    row: 'A4 forms',
    dockerfile: 'FROM base\nLABEL 1=${NO?must be set}\n',
    expect: 'fails',
  },
  {
    name: 'prefix and suffix removed',
    row: 'A4 forms',
    dockerfile:
      'FROM base\nENV P=a/b/c.tar.gz\nLABEL 1=${P#*/} 2=${P##*/} 3=${P%.*} 4=${P%%.*} 5=${P#x} 6=${P%?gz} 7=${P##a?b} 8=${NO#x} 9=${P#\\*}\n',
  },
  {
    name: 'replaced',
    row: 'A4 forms',
    dockerfile:
      'FROM base\nENV P=foo-bar-foo\nLABEL 1=${P/foo/x} 2=${P//foo/x} 3=${P/-*/} 4=${P//o?/_} 5=${P/none/x} 6=${P//-/\\/}\n',
  },
  {
    name: 'a variable in the pattern',
    row: 'A4 forms',
    dockerfile: 'FROM base\nENV P=foo-bar S=bar\nLABEL 1=${P%$S} 2=${P/${S}/x}\n',
  },
  {
    name: 'a brace that is not closed',
    row: 'A4 forms',
    dockerfile: 'FROM base\nLABEL a=${A\n',
    expect: 'fails',
  },
  {
    name: 'an unknown modifier',
    row: 'A4 forms',
    dockerfile: 'FROM base\nLABEL a=${A:x}\n',
    expect: 'fails',
  },
  {
    name: 'a replacement without its second part',
    row: 'A4 forms',
    dockerfile: 'FROM base\nENV A=a\nLABEL a=${A/b}\n',
    expect: 'fails',
  },
  {
    name: 'an empty name',
    row: 'A4 forms',
    dockerfile: 'FROM base\nLABEL a=${}\n',
    expect: 'fails',
  },
  {
    name: 'positional and special names',
    row: 'A4 forms',
    dockerfile: 'FROM base\nLABEL a=x$1y b=x$@y c=x$*y d=x$#y e=x${1}y f=x$?y\n',
  },
  {
    name: 'a quote that is not closed',
    row: 'A4 forms',
    dockerfile: 'FROM base\nLABEL a="b\n',
    expect: 'fails',
  },
  {
    name: 'in every instruction',
    row: 'A4 where',
    dockerfile:
      'FROM base\nARG V=val\nENV E=$V\nCOPY $V.txt /c-$V\nADD $V.txt /a-${V}\nLABEL k-$V=l-$V\nEXPOSE ${P:-81}\nVOLUME /v-$V\nUSER u-$V\nWORKDIR /w-$V\nSTOPSIGNAL ${S:-9}\n',
    files: {
      'val.txt': 'v\n',
    },
  },
  {
    name: 'not in CMD, ENTRYPOINT, HEALTHCHECK and SHELL',
    row: 'A4 where',
    dockerfile:
      'FROM base\nENV E=e\nCMD echo $E ${E}\nENTRYPOINT ["$E"]\nHEALTHCHECK CMD test $E\nSHELL ["/bin/sh", "-c", "$E"]\n',
  },
  {
    name: '--chown and --chmod',
    row: 'A4 where',
    dockerfile: 'FROM base\nARG U=app\nARG M=640\nCOPY --chown=$U:${U} --chmod=$M a.txt /\n',
    files: {
      'a.txt': 'a\n',
    },
  },
  {
    name: 'not in --from',
    row: 'A4 where',
    dockerfile: 'FROM base AS one\nFROM base\nARG S=one\nCOPY --from=$S /etc/profile /p\n',
    expect: 'fails',
  },
  {
    name: 'not in --exclude',
    row: 'A4 where',
    dockerfile: 'FROM base\nARG N=b\nCOPY --exclude=$N.txt . /d/\n',
    files: {
      's/a': 'a\n',
      'b.txt': 'b\n',
      '.dockerignore': 'Dockerfile\n.dockerignore\n',
    },
  },
  {
    name: 'RUN --mount',
    row: 'A4 where',
    dockerfile:
      'FROM base\nARG T=/mnt/x\nARG S=a.txt\nRUN --mount=type=bind,source=$S,target=$T cat $T > /copied\n',
    files: {
      'a.txt': 'a\n',
    },
  },
  {
    name: 'RUN --mount from a variable',
    row: 'A4 where',
    dockerfile: 'FROM base AS one\nFROM base\nARG S=one\nRUN --mount=from=$S,target=/m true\n',
    expect: 'fails',
  },
  {
    name: 'words of EXPOSE and VOLUME',
    row: 'A4 where',
    dockerfile: 'FROM base\nENV PORTS="80 90/udp" VOLS="/a /b"\nEXPOSE $PORTS 70\nVOLUME $VOLS /c\n',
  },
  {
    name: 'ENV, LABEL and ARG of one line',
    row: 'A4 snapshot',
    dockerfile: 'FROM base\nENV a=old\nENV a=new b=$a\nLABEL c=$a d=$b\nARG x=1 y=$x\nLABEL x=$x y=$y\n',
  },
  {
    name: 'global ones in FROM and their order',
    row: 'S3 ARG',
    dockerfile: 'ARG N=bas\nARG M=${N}e\nFROM ${M} AS s\nLABEL n=x$N m=x$M\n',
  },
  {
    name: 'global ones taken into a stage',
    row: 'S3 ARG',
    dockerfile:
      'ARG G=global\nARG H=h\nFROM base\nARG G\nARG H=stage\nARG NO\nLABEL g=$G h=$H no=x$NO\nRUN env | grep -c "^NO=" > /no || true\n',
  },
  {
    name: 'on the command line beat all defaults',
    row: 'S3 ARG',
    dockerfile: 'ARG G=global\nARG H=h\nFROM base\nARG G\nARG H=stage\nARG I=i\nLABEL g=$G h=$H i=$I\n',
    options: ['--build-arg', 'G=1', '--build-arg', 'H=2', '--build-arg', 'I=3'],
  },
  {
    name: 'empty on the command line',
    row: 'S3 ARG',
    dockerfile: 'FROM base\nARG A=default\nLABEL a=x$A b=${A-unset}\nRUN echo "[$A]" > /a\n',
    options: ['--build-arg', 'A='],
  },
  {
    name: 'from the environment',
    row: 'S3 ARG',
    dockerfile: 'FROM base\nARG A=default\nARG B=kept\nLABEL a=$A b=$B\n',
    options: ['--build-arg', 'A', '--build-arg', 'OWN_UNSET'],
    env: {
      A: 'environment',
    },
  },
  {
    name: 'that nobody declares',
    row: 'S3 ARG',
    dockerfile: 'FROM base\nLABEL a=x$UNDECLARED\nRUN echo "x$UNDECLARED" > /f\n',
    options: ['--build-arg', 'UNDECLARED=1'],
  },
  {
    name: 'before it is declared',
    row: 'S3 ARG',
    dockerfile: 'FROM base\nLABEL before=x$A\nARG A=1\nLABEL after=x$A\n',
  },
  {
    name: 'ends with the stage',
    row: 'S3 ARG',
    dockerfile: 'FROM base AS a\nARG A=1\nRUN echo $A > /a\nFROM base\nLABEL a=x$A\nCOPY --from=a /a /a\n',
  },
  {
    name: 'goes to a child stage',
    row: 'S3 ARG',
    dockerfile: 'FROM base AS a\nARG A=1\nENV B=2\nFROM a\nLABEL a=$A b=$B\nRUN echo $A $B > /f\n',
  },
  {
    name: 'several on a line',
    row: 'S3 ARG',
    dockerfile: 'FROM base\nARG A=1 B C="two words" D=\'$A\'\nRUN echo "$A|$B|$C|$D" > /f\n',
    options: ['--build-arg', 'B=b'],
  },
  {
    name: 'the same again',
    row: 'S3 ARG',
    dockerfile: 'FROM base\nARG A=1\nARG A=2\nRUN echo $A > /f\nARG A\nRUN echo $A >> /f\n',
  },
  {
    name: 'in the history of RUN',
    row: 'S3 ARG',
    dockerfile: 'FROM base\nARG B=2\nARG A=1\nENV A=env\nARG NOT\nRUN true\nRUN ["true"]\n',
  },
  {
    name: 'a wrong name',
    row: 'S3 ARG',
    dockerfile: 'FROM base\nARG =x\n',
    expect: 'fails',
  },
  {
    name: 'nothing',
    row: 'S3 ARG',
    dockerfile: 'FROM base\nARG\n',
    expect: 'fails',
  },
  {
    name: 'beats an earlier ARG, not a later one',
    row: 'S3 ENV',
    dockerfile:
      'FROM base\nARG A=arg\nENV A=env\nRUN echo $A > /1\nARG A=later\nRUN echo $A > /2\nLABEL a=$A\n',
  },
  {
    name: 'replaces in place',
    row: 'S3 ENV',
    dockerfile: 'FROM base\nENV A=1 B=2\nENV A=3\nENV C=4 PATH=/p:$PATH\n',
  },
  {
    name: 'quotes and escapes',
    row: 'S3 ENV',
    dockerfile:
      'FROM base\nENV A="a b" B=a\\ b C=\'a "b"\' D="a \\"b\\"" E="" F=a\\\\b G="x"y\'z\' H=a=b\nRUN echo "$A|$B|$C|$D|$E|$F|$G|$H" > /f\n',
  },
  {
    name: 'a variable as name',
    row: 'S3 ENV',
    dockerfile: 'FROM base\nARG K=key\nENV $K=v ${K}2=w\n',
  },
  {
    name: 'of the base image',
    row: 'S3 ENV',
    dockerfile: 'FROM base\nENV P=$PATH\nLABEL p=$PATH\n',
  },
  {
    name: 'platforms, only when declared',
    row: 'S3 automatic',
    dockerfile:
      'FROM base\nLABEL no=x$TARGETARCH\nARG TARGETPLATFORM TARGETOS TARGETARCH TARGETVARIANT BUILDPLATFORM BUILDOS BUILDARCH BUILDVARIANT\nLABEL t=$TARGETPLATFORM,$TARGETOS,$TARGETARCH,$TARGETVARIANT b=$BUILDPLATFORM,$BUILDOS,$BUILDARCH,$BUILDVARIANT\n',
  },
  {
    name: 'in global defaults',
    row: 'S3 automatic',
    dockerfile: 'ARG A=base-$TARGETARCH\nARG B=$BUILDOS\nFROM base\nARG A B\nLABEL a=$A b=$B\n',
  },
  {
    name: 'changed on the command line',
    row: 'S3 automatic',
    dockerfile: 'FROM base\nARG TARGETARCH\nARG TARGETOS=mine\nLABEL a=$TARGETARCH o=$TARGETOS\n',
    options: ['--build-arg', 'TARGETARCH=other'],
  },
  {
    name: 'a default in the stage',
    row: 'S3 automatic',
    dockerfile: 'FROM base\nARG TARGETARCH=mine\nLABEL a=$TARGETARCH\n',
  },
  {
    name: 'TARGETSTAGE by name',
    row: 'S3 automatic',
    dockerfile:
      'ARG TARGETSTAGE\nFROM base AS wanted\nARG TARGETSTAGE\nLABEL s=x$TARGETSTAGE\nFROM base AS last\n',
    options: ['--target', 'wanted'],
  },
  {
    name: 'TARGETSTAGE of the last stage',
    row: 'S3 automatic',
    dockerfile: 'FROM base\nARG TARGETSTAGE\nLABEL s=x$TARGETSTAGE\n',
  },
  {
    name: 'usable without ARG, not kept',
    row: 'S3 proxy',
    dockerfile: 'FROM base\nRUN echo "$http_proxy|$HTTPS_PROXY|$no_proxy" > /f\nLABEL p=x$http_proxy\n',
    options: [
      '--build-arg',
      'http_proxy=http://p',
      '--build-arg',
      'HTTPS_PROXY=http://q',
      '--build-arg',
      'no_proxy=local',
    ],
  },
  {
    name: 'declared',
    row: 'S3 proxy',
    dockerfile: 'FROM base\nARG http_proxy\nRUN echo "$http_proxy" > /f\nLABEL p=x$http_proxy\n',
    options: ['--build-arg', 'http_proxy=http://p'],
  },
  {
    name: 'arguments for the builder are usual ones',
    row: 'S3 BUILDKIT',
    dockerfile:
      'FROM base\nARG BUILDKIT_SANDBOX_HOSTNAME\nLABEL h=x$BUILDKIT_SANDBOX_HOSTNAME\nRUN hostname > /h\n',
    options: ['--build-arg', 'BUILDKIT_SANDBOX_HOSTNAME=myhost'],
  },
  {
    name: 'variables when it is triggered',
    row: 'S3 ONBUILD',
    dockerfile: 'FROM base AS a\nENV E=parent\nONBUILD ARG A=trigger\nONBUILD LABEL a=$A e=$E\nFROM a\n',
    options: ['--build-arg', 'A=given'],
  },
  {
    name: 'SOURCE_DATE_EPOCH as ARG',
    row: 'S3 epoch',
    dockerfile: 'FROM base\nARG SOURCE_DATE_EPOCH\nWORKDIR /made/here\nLABEL e=$SOURCE_DATE_EPOCH\n',
    options: ['--build-arg', 'SOURCE_DATE_EPOCH=1600000000'],
  },
];
