import { posix } from 'node:path';
import { BuildError } from '../../errors.js';
import type {
  ArgCommand,
  HealthcheckCommand,
  ListCommand,
  PairsCommand,
  ShellFormCommand,
  TextCommand,
} from '../command.js';
import { healthcheckText, quotedList } from '../history.js';
import {
  lintPort,
  lintSecretName,
  lintShellForm,
  lintUsedOnce,
  lintWorkdir,
} from '../lint/instruction-rules.js';
import { textBytes } from './text-budget.js';
import { type ConvertContext, expandIn, expandWordsIn, type StageState } from './stage-state.js';

/** ENV: all values see the variables as they were before the instruction. */
export function convertEnv(context: ConvertContext, state: StageState, command: PairsCommand): void {
  const pairs = expandedPairs(context, state, command);
  for (const [name, value] of pairs) {
    lintSecretName('ENV', name, value, command.location, context.linter);
    state.setEnv(name, value);
  }
  state.addHistory(`ENV ${pairs.map(([name, value]) => `${name}=${value}`).join(' ')}`, false);
}

export function convertLabel(context: ConvertContext, state: StageState, command: PairsCommand): void {
  const pairs = expandedPairs(context, state, command);
  state.addTo('Labels', pairs);
  state.addHistory(`LABEL ${pairs.map(([name, value]) => `${name}=${value}`).join(' ')}`, false);
}

function expandedPairs(
  context: ConvertContext,
  state: StageState,
  command: PairsCommand,
): [string, string][] {
  return command.pairs.map(([name, value]) => [
    expandIn(context, state, name, command.location),
    expandIn(context, state, value, command.location),
  ]);
}

/** ARG: the command line, else its own default, else the global value; without any of them it stays unset. */
export function convertArg(
  context: ConvertContext,
  state: StageState,
  command: ArgCommand,
  values: {
    readonly buildArgs: Readonly<Record<string, string>>;
    readonly globals: ReadonlyMap<string, string>;
  },
): void {
  const texts = command.args.map(({ name: written, value: fallback }) => {
    const name = expandIn(context, state, written, command.location);
    const given = Object.hasOwn(values.buildArgs, name) ? values.buildArgs[name] : undefined;
    const fallbackValue = () =>
      fallback === undefined
        ? values.globals.get(name)
        : expandIn(context, state, fallback, command.location);
    const value = given ?? fallbackValue();
    if (value !== undefined && !name.startsWith('BUILDKIT_SBOM_SCAN_')) state.setVariable(name, value);
    lintSecretName('ARG', name, value ?? '', command.location, context.linter);
    context.outline.addArg(name, value, command, fallback === undefined && values.globals.has(name));
    state.buildArgs.push({ name, value });
    return value === undefined ? name : `${name}=${value}`;
  });
  state.addHistory(`ARG ${texts.join(' ')}`, false);
}

/** The path of WORKDIR: an absolute one as written, a relative one joined to the directory so far. */
export function workdirPath(context: ConvertContext, state: StageState, command: TextCommand): string {
  const path = expandIn(context, state, command.text, command.location);
  lintWorkdir(path, state, command.location, context.linter);
  return posix.isAbsolute(path) ? path : posix.resolve(state.workingDirectory, path);
}

export function convertUser(context: ConvertContext, state: StageState, command: TextCommand): void {
  const user = expandIn(context, state, command.text, command.location);
  state.config.User = user;
  state.addHistory(`USER ${user}`, false);
}

const SIGNALS =
  'ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ'.split(
    ' ',
  );

export function convertStopsignal(context: ConvertContext, state: StageState, command: TextCommand): void {
  const signal = expandIn(context, state, command.text, command.location);
  const name = signal.toUpperCase().replace(/^SIG/, '');
  const isRealTime = /^RTM(IN|AX)([+-]\d{1,2})?$/.test(name);
  if (!/^-?0*[1-9]\d*$/.test(signal) && !SIGNALS.includes(name) && !isRealTime) {
    throw new BuildError('INVALID_VALUE', `Invalid signal: ${signal}`, {
      hint: 'use a name such as SIGTERM, or its number',
      location: command.location,
    });
  }
  state.config.StopSignal = signal;
  state.addHistory(`STOPSIGNAL ${signal}`, false);
}

export function convertMaintainer(context: ConvertContext, state: StageState, command: TextCommand): void {
  const message = 'Maintainer instruction is deprecated in favor of using label';
  context.linter.report('MaintainerDeprecated', message, command.location);
  state.author = command.text;
  state.addHistory(`MAINTAINER ${command.text}`, false);
}

export function convertVolume(context: ConvertContext, state: StageState, command: ListCommand): void {
  const volumes = command.items.map((item) => expandIn(context, state, item, command.location));
  if (volumes.some((volume) => volume.trim() === ''))
    throw new BuildError('INVALID_VALUE', 'VOLUME specified can not be an empty string', {
      location: command.location,
    });
  state.addTo(
    'Volumes',
    volumes.map((volume) => [volume, {}]),
  );
  state.addHistory(`VOLUME [${volumes.join(' ')}]`, false);
}

export function convertExpose(context: ConvertContext, state: StageState, command: ListCommand): void {
  const words = command.items.flatMap((item) => expandWordsIn(context, state, item, command.location));
  const ports = words.flatMap((word) => {
    lintPort(word, command.location, context.linter);
    return expandPorts(word, command);
  });
  context.budget.spend(textBytes(ports));
  state.addTo(
    'ExposedPorts',
    ports.map((port) => [port, {}]),
  );
  state.addHistory(`EXPOSE [${ports.join(' ')}]`, false);
}

/** `8000-8003/udp` as its ports. */
function expandPorts(word: string, command: ListCommand): string[] {
  const invalid = (why: string) =>
    new BuildError('INVALID_VALUE', `invalid containerPort: ${word}: ${why}`, {
      hint: 'write a port, a range such as 8000-8010, and tcp, udp or sctp after a slash',
      location: command.location,
    });
  // Docker's `host:port:port` is accepted, and only the container's port counts.
  const match = /^(?:(?:\[?[0-9A-Fa-f.:]*\]?:)?(?:\d+(?:-\d+)?)?:)?(\d+)(?:-(\d+))?(?:\/([A-Za-z]*))?$/.exec(
    word,
  );
  if (!match) throw invalid('it is no port');
  const protocol = (match[3] || 'tcp').toLowerCase();
  if (!['tcp', 'udp', 'sctp'].includes(protocol)) throw invalid(`the protocol "${match[3]}" is not known`);
  const first = Number(match[1]);
  const last = Number(match[2] ?? match[1]);
  if (last > 65535 || first > 65535) throw invalid('ports end at 65535');
  if (last < first) throw invalid('the range ends before it starts');
  return Array.from({ length: last - first + 1 }, (_, i) => `${first + i}/${protocol}`);
}

export function convertShell(state: StageState, command: ListCommand): void {
  state.config.Shell = command.items;
  state.addHistory(`SHELL [${command.items.join(' ')}]`, false);
}

export function convertCmd(context: ConvertContext, state: StageState, command: ShellFormCommand): void {
  lintUsedOnce(command, state, context.linter);
  lintShellForm(command, state, context.linter);
  const args = withShell(state, command);
  delete state.config.Cmd;
  if (args.length > 0) state.config.Cmd = args;
  state.config.ArgsEscaped = true;
  state.hasOwnCommand = true;
  state.addHistory(`CMD ${quotedList(args)}`, false);
}

/** ENTRYPOINT takes away a CMD that this stage did not set itself. */
export function convertEntrypoint(
  context: ConvertContext,
  state: StageState,
  command: ShellFormCommand,
): void {
  lintUsedOnce(command, state, context.linter);
  lintShellForm(command, state, context.linter);
  const args = withShell(state, command);
  delete state.config.Entrypoint;
  if (args.length > 0) state.config.Entrypoint = args;
  if (!state.hasOwnCommand) delete state.config.Cmd;
  state.addHistory(`ENTRYPOINT ${quotedList(args)}`, false);
}

/** Shell form goes through SHELL, as one argument. */
export function withShell(
  state: StageState,
  command: { readonly args: readonly string[]; readonly shellForm: boolean },
): readonly string[] {
  if (!command.shellForm) return command.args;
  const shell = state.platform.os === 'windows' ? ['cmd', '/S', '/C'] : ['/bin/sh', '-c'];
  return [...(state.config.Shell ?? shell), command.args.join(' ')];
}

export function convertHealthcheck(
  context: ConvertContext,
  state: StageState,
  command: HealthcheckCommand,
): void {
  lintUsedOnce(command, state, context.linter);
  const healthcheck = {
    Test: command.test,
    ...(command.intervalNs === 0 ? {} : { Interval: command.intervalNs }),
    ...(command.timeoutNs === 0 ? {} : { Timeout: command.timeoutNs }),
    ...(command.startPeriodNs === 0 ? {} : { StartPeriod: command.startPeriodNs }),
    ...(command.startIntervalNs === 0 ? {} : { StartInterval: command.startIntervalNs }),
    ...(command.retries === 0 ? {} : { Retries: command.retries }),
  };
  state.config.Healthcheck = healthcheck;
  state.addHistory(healthcheckText(healthcheck), false);
}
