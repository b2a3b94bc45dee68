import { BuildError, nearestName } from '../../errors.js';
import type { Command, CopyCommand, HealthcheckCommand, RunCommand } from '../command.js';
import type { ParsedHeredoc, ParsedInstruction } from '../instruction-line.js';
import { KEYWORDS } from '../lexers.js';
import { parseDurationNs } from './duration.js';
import { parseMount } from './mount.js';
import { parseHeredocWord } from '../heredoc.js';
import { invalid, readFlags, refuseVariable, syntax, unsupported } from './flags.js';

type CommandParser = (instruction: ParsedInstruction) => Command;

/**
 * Gives an instruction its meaning: flags, number and form of its arguments.
 * @throws UNKNOWN_INSTRUCTION, UNKNOWN_FLAG, DOCKERFILE_SYNTAX, INVALID_VALUE, UNSUPPORTED with the place
 */
export function parseCommand(instruction: ParsedInstruction): Command {
  const parser = PARSERS[instruction.keyword];
  if (parser) return parser(instruction);
  const nearest = nearestName(instruction.keyword, KEYWORDS);
  throw new BuildError('UNKNOWN_INSTRUCTION', `unknown instruction "${instruction.keyword}"`, {
    hint: nearest ? `did you mean "${nearest}"?` : `a Dockerfile has ${KEYWORDS.join(', ')}`,
    location: instruction.location,
  });
}

const PARSERS: Readonly<Record<string, CommandParser>> = {
  ADD: parseCopy,
  ARG: parseArg,
  CMD: (instruction) => shellForm(instruction, 'cmd'),
  COPY: parseCopy,
  ENTRYPOINT: (instruction) => shellForm(instruction, 'entrypoint'),
  ENV: (instruction) => pairs(instruction, 'env'),
  EXPOSE: (instruction) => list(instruction, 'expose'),
  FROM: parseFrom,
  HEALTHCHECK: parseHealthcheck,
  LABEL: (instruction) => pairs(instruction, 'label'),
  MAINTAINER: (instruction) => text(instruction, 'maintainer'),
  ONBUILD: parseOnbuild,
  RUN: parseRun,
  SHELL: parseShell,
  STOPSIGNAL: (instruction) => text(instruction, 'stopsignal'),
  USER: (instruction) => text(instruction, 'user'),
  VOLUME: (instruction) => list(instruction, 'volume'),
  WORKDIR: (instruction) => text(instruction, 'workdir'),
};

function baseOf(instruction: ParsedInstruction) {
  const { location, original, comments } = instruction;
  return { location, original: original.trim(), comments };
}

function parseFrom(instruction: ParsedInstruction): Command {
  const { platform } = readFlags(instruction, { platform: 'text' });
  const { args } = instruction;
  const base = {
    ...baseOf(instruction),
    kind: 'from' as const,
    image: args[0] ?? '',
    ...(platform === undefined ? {} : { platform }),
  };
  if (args.length === 1) return base;
  if (args.length !== 3 || args[1]!.toLowerCase() !== 'as') {
    throw syntax(
      instruction,
      'FROM requires either one or three arguments',
      'write FROM image, or FROM image AS name',
    );
  }
  const stageName = args[2]!.toLowerCase();
  if (!/^[a-z][a-z0-9-_.]*$/.test(stageName)) {
    throw invalid(
      instruction,
      `invalid name for build stage: "${args[2]}", name can't start with a number or contain symbols`,
      'a stage name starts with a letter and has letters, digits, "-", "_" and "."',
    );
  }
  return { ...base, stageName };
}

function parseRun(instruction: ParsedInstruction): RunCommand {
  const flags = readFlags(instruction, { mount: 'list', network: 'text', security: 'text', device: 'list' });
  if (flags.device.length > 0)
    throw unsupported(
      instruction,
      `the device "${flags.device[0]!.split(',')[0]}" is not available: this version knows no CDI devices`,
      'leave RUN --device out, or build this step on a machine and with a builder that has the device',
    );
  const network = flags.network;
  if (network !== undefined && network !== 'default' && network !== 'none' && network !== 'host') {
    throw invalid(instruction, `the network mode "${network}" is not known`, 'use default, none or host');
  }
  const security = flags.security;
  if (security !== undefined && security !== 'sandbox' && security !== 'insecure') {
    throw invalid(instruction, `the security mode "${security}" is not known`, 'use sandbox or insecure');
  }
  return {
    ...baseOf(instruction),
    kind: 'run',
    args: instruction.args,
    shellForm: !instruction.json,
    heredocs: instruction.heredocs,
    mounts: flags.mount.map((mount) => parseMount(instruction, mount)),
    ...(network === undefined ? {} : { network }),
    ...(security === undefined ? {} : { security }),
  };
}

function parseCopy(instruction: ParsedInstruction): CopyCommand {
  const isAdd = instruction.keyword === 'ADD';
  const common = { chown: 'text', chmod: 'text', link: 'boolean', exclude: 'list' } as const;
  const flags = isAdd
    ? {
        from: undefined,
        parents: false,
        ...readFlags(instruction, {
          ...common,
          'keep-git-dir': 'boolean',
          checksum: 'text',
          unpack: 'boolean',
        }),
      }
    : {
        checksum: undefined,
        'keep-git-dir': false,
        unpack: false,
        ...readFlags(instruction, { ...common, from: 'text', parents: 'boolean' }),
      };
  const { args, keyword } = instruction;
  if (args.length < 2) {
    throw syntax(
      instruction,
      `${keyword} requires at least two arguments, but only ${args.length} were provided`,
      `write ${keyword} SOURCE... DESTINATION; the destination could be "."`,
    );
  }
  if (flags.from !== undefined) refuseVariable(instruction, '--from', flags.from);
  const heredocs = instruction.heredocs;
  const sources = heredocs.length === 0 ? args.slice(0, -1) : sourcesBeside(instruction);
  const isWritten = (flag: string) => instruction.flags.some((word) => word.split('=')[0] === flag);
  const destination = args.at(-1)!;
  if (heredocs.length > 0 && isHeredocWord(destination)) {
    throw syntax(instruction, `${keyword} cannot accept a heredoc as a destination`);
  }
  return {
    ...baseOf(instruction),
    kind: isAdd ? 'add' : 'copy',
    sources,
    heredocs,
    destination,
    excludes: flags.exclude,
    link: flags.link,
    parents: flags.parents,
    ...(isWritten('--unpack') ? { unpack: flags.unpack } : {}),
    ...(isWritten('--keep-git-dir') ? { keepGitDirectory: flags['keep-git-dir'] } : {}),
    ...(flags.checksum === undefined ? {} : { checksum: flags.checksum }),
    ...(flags.from === undefined ? {} : { from: flags.from }),
    ...(flags.chown === undefined ? {} : { chown: flags.chown }),
    ...(flags.chmod === undefined ? {} : { chmod: flags.chmod }),
  };
}

/** The sources that are paths, where others are heredocs. */
function sourcesBeside(instruction: ParsedInstruction): string[] {
  const written = instruction.args.slice(0, -1);
  const lone = written.find((word) => /^\d*<<-?$/.test(word));
  if (lone !== undefined) {
    throw syntax(
      instruction,
      `the heredoc "${lone}" of ${instruction.keyword} has a blank before its delimiter`,
      `write ${lone}${instruction.heredocs[0]!.name}, without a blank`,
    );
  }
  return written.filter((word) => !isHeredocWord(word));
}

function isHeredocWord(word: string): boolean {
  try {
    return parseHeredocWord(word) !== undefined;
  } catch {
    return false;
  }
}

function parseArg(instruction: ParsedInstruction): Command {
  readFlags(instruction, {});
  if (instruction.args.length === 0) throw syntax(instruction, 'ARG requires at least one argument');
  const args = instruction.args.map((word) => {
    const equals = word.indexOf('=');
    const name = equals < 0 ? word : word.slice(0, equals);
    if (name === '') throw syntax(instruction, 'ARG names can not be blank');
    return equals < 0 ? { name } : { name, value: word.slice(equals + 1) };
  });
  return { ...baseOf(instruction), kind: 'arg', args };
}

function pairs(instruction: ParsedInstruction, kind: 'env' | 'label'): Command {
  readFlags(instruction, {});
  const { args, keyword } = instruction;
  if (args.length === 0)
    throw syntax(instruction, `${keyword} requires at least one argument`, `write ${keyword} name=value`);
  const list: [string, string][] = [];
  for (let i = 0; i < args.length; i += 3) {
    if (args[i] === '') throw syntax(instruction, `${keyword} names can not be blank`);
    list.push([args[i]!, args[i + 1]!]);
  }
  return { ...baseOf(instruction), kind, pairs: list };
}

function text(
  instruction: ParsedInstruction,
  kind: 'workdir' | 'user' | 'stopsignal' | 'maintainer',
): Command {
  readFlags(instruction, {});
  if (instruction.args.length !== 1)
    throw syntax(instruction, `${instruction.keyword} requires exactly one argument`);
  return { ...baseOf(instruction), kind, text: instruction.args[0]! };
}

function list(instruction: ParsedInstruction, kind: 'expose' | 'volume'): Command {
  readFlags(instruction, {});
  if (instruction.args.length === 0)
    throw syntax(instruction, `${instruction.keyword} requires at least one argument`);
  const items =
    kind === 'expose' ? [...instruction.args].sort() : instruction.args.map((item) => item.trim());
  return { ...baseOf(instruction), kind, items };
}

function parseShell(instruction: ParsedInstruction): Command {
  readFlags(instruction, {});
  if (!instruction.json)
    throw syntax(
      instruction,
      'SHELL requires the arguments to be in JSON form',
      'write SHELL ["/bin/bash", "-c"]',
    );
  if (instruction.args.length === 0) throw syntax(instruction, 'SHELL requires at least one argument');
  return { ...baseOf(instruction), kind: 'shell', items: instruction.args };
}

function shellForm(instruction: ParsedInstruction, kind: 'cmd' | 'entrypoint'): Command {
  readFlags(instruction, {});
  return { ...baseOf(instruction), kind, args: instruction.args, shellForm: !instruction.json };
}

function parseHealthcheck(instruction: ParsedInstruction): HealthcheckCommand {
  const flags = readFlags(instruction, {
    interval: 'text',
    timeout: 'text',
    'start-period': 'text',
    'start-interval': 'text',
    retries: 'text',
  });
  const [type = '', ...command] = instruction.args;
  const duration = (name: keyof typeof flags) => healthcheckDuration(instruction, name, flags[name]);
  const retries = flags.retries ?? '0';
  if (!/^\d{1,9}$/.test(retries))
    throw invalid(instruction, `--retries "${retries}" is not a whole number of 0 or more`);
  return {
    ...baseOf(instruction),
    kind: 'healthcheck',
    test: healthcheckTest(instruction, type.toUpperCase(), command),
    intervalNs: duration('interval'),
    timeoutNs: duration('timeout'),
    startPeriodNs: duration('start-period'),
    startIntervalNs: duration('start-interval'),
    retries: Number(retries),
  };
}

function healthcheckTest(
  instruction: ParsedInstruction,
  type: string,
  command: readonly string[],
): readonly string[] {
  if (type === 'NONE') {
    if (command.length > 0) throw syntax(instruction, 'HEALTHCHECK NONE takes no arguments');
    return ['NONE'];
  }
  if (type !== 'CMD') {
    throw syntax(
      instruction,
      type === '' ? 'HEALTHCHECK requires at least one argument' : `unknown type "${type}" of HEALTHCHECK`,
      'write HEALTHCHECK CMD command, or HEALTHCHECK NONE',
    );
  }
  if (command.length === 0) throw syntax(instruction, 'missing command after HEALTHCHECK CMD');
  return instruction.json ? ['CMD', ...command] : ['CMD-SHELL', ...command];
}

function healthcheckDuration(
  instruction: ParsedInstruction,
  name: string,
  written: string | undefined,
): number {
  if (written === undefined) return 0;
  const durationNs = parseDurationNs(written);
  if (durationNs === undefined)
    throw invalid(instruction, `--${name} "${written}" is not a duration`, 'write it as 30s, 5m or 1h30m');
  if (durationNs !== 0 && durationNs < 1e6)
    throw invalid(instruction, `--${name} "${written}" is shorter than 1ms`);
  return durationNs;
}

function parseOnbuild(instruction: ParsedInstruction): Command {
  readFlags(instruction, {});
  const trigger = instruction.args[0]?.toUpperCase();
  if (trigger === undefined) throw syntax(instruction, 'ONBUILD requires at least one argument');
  if (trigger === 'ONBUILD')
    throw syntax(instruction, "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
  if (trigger === 'FROM' || trigger === 'MAINTAINER')
    throw syntax(instruction, `${trigger} isn't allowed as an ONBUILD trigger`);
  const line = instruction.original.trim().replace(/^\s*ONBUILD\s*/i, '');
  return { ...baseOf(instruction), kind: 'onbuild', expression: line + heredocText(instruction.heredocs) };
}

function heredocText(heredocs: readonly ParsedHeredoc[]): string {
  return heredocs.map((heredoc) => `\n${heredoc.content}${heredoc.name}`).join('');
}
