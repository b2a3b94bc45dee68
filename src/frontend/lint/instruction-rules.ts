import { posix } from 'node:path';
import type { SourceLocation } from '../../errors.js';
import { PatternMatcher } from '../../graph/pattern-matcher.js';
import type { Command, CopyCommand, RunCommand, ShellFormCommand } from '../command.js';
import type { StageState } from '../convert/stage-state.js';
import { writtenKeyword } from './file-rules.js';
import type { Linter } from './linter.js';

const SECRET_NAME = /(?:_|^)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)/i;
const HARMLESS_NAME = /(?:_|^)(?:public|file|version)(?:_|$)/i;

/** Begins of keys and tokens that their makers gave a form of their own, and private keys. */
const SECRET_VALUE =
  /^(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{22,}|glpat-[\w-]{20}|AKIA[0-9A-Z]{16}|xox[abposr]-[\w-]{10,}|sk_live_\w{16,}|npm_[A-Za-z0-9]{36}|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.)|-----BEGIN [A-Z ]*PRIVATE KEY/;

/** Whether a name says that its value is a secret; such values are not printed. */
export function isSecretName(name: string): boolean {
  return SECRET_NAME.test(name) && !HARMLESS_NAME.test(name);
}

/** Whether a variable's value must not be printed: the name or the value says that it is a secret, or it is a URL with a password. */
export function isSecretVariable(name: string, value: string): boolean {
  return isSecretName(name) || SECRET_VALUE.test(value) || /:\/\/[^/\s]*@/.test(value);
}

export function lintSecretName(
  keyword: 'ARG' | 'ENV',
  name: string,
  value: string,
  location: SourceLocation,
  linter: Linter,
): void {
  if (isSecretName(name))
    linter.report(
      'SecretsUsedInArgOrEnv',
      `Do not use ARG or ENV instructions for sensitive data (${keyword} "${name}")`,
      location,
    );
  else if (SECRET_VALUE.test(value))
    linter.report('SecretValueInEnv', `The value of ${keyword} "${name}" looks like a secret`, location);
}

/** Reports the earlier one, which has no effect. */
export function lintUsedOnce(command: Command, state: StageState, linter: Linter): void {
  const earlier = state.lastOf.get(command.kind);
  if (earlier)
    linter.report(
      'MultipleInstructionsDisallowed',
      `Multiple ${writtenKeyword(command.original)} instructions should not be used in the same stage because only the last one will be used`,
      earlier,
    );
  state.lastOf.set(command.kind, command.location);
}

export function lintShellForm(command: ShellFormCommand, state: StageState, linter: Linter): void {
  if (!command.shellForm || state.config.Shell) return;
  linter.report(
    'JSONArgsRecommended',
    `JSON arguments recommended for ${writtenKeyword(command.original)} to prevent unintended behavior related to OS signals`,
    command.location,
  );
}

export function lintWorkdir(path: string, state: StageState, location: SourceLocation, linter: Linter): void {
  if (!state.hasOwnWorkingDirectory && !posix.isAbsolute(path))
    linter.report(
      'WorkdirRelativePath',
      `Relative workdir "${path}" can have unexpected results if the base image changes`,
      location,
    );
  state.hasOwnWorkingDirectory = true;
}

export function lintPort(port: string, location: SourceLocation, linter: Linter): void {
  const [place, protocol] = port.split('/');
  if (protocol !== undefined && protocol !== protocol.toLowerCase())
    linter.report(
      'ExposeProtoCasing',
      `Defined protocol '${port}' in EXPOSE instruction should be lowercase`,
      location,
    );
  if (place!.includes(':'))
    linter.report(
      'ExposeInvalidFormat',
      `EXPOSE instruction should not define an IP address or host-port mapping, found '${port}'`,
      location,
    );
}

/** Sources that come from the context are looked up in the ignore patterns, where none of them takes something back. */
export function lintCopy(
  command: CopyCommand,
  sources: readonly string[],
  destination: string,
  ignorePatterns: readonly string[],
  linter: Linter,
): void {
  if (command.from === undefined && !ignorePatterns.some((pattern) => pattern.startsWith('!')))
    lintIgnored(command, sources, ignorePatterns, linter);
  if (sources.length + command.heredocs.length > 1 && !/(\/|\/\.|^\.)$/.test(destination))
    linter.report(
      'SeveralSourcesOneFile',
      `Several sources are copied to "${destination}", which has no "/" at its end`,
      command.location,
    );
  const isArchive = (source: string) => /\.(tar|tgz|tbz2?|txz|tzst|gz|bz2|xz|zst)$/i.test(source);
  const isPlain = (source: string) => !/^[a-z+]+:\/\/|^git@/i.test(source) && !/[*?[]/.test(source);
  if (
    command.kind === 'add' &&
    sources.length > 0 &&
    sources.every((source) => isPlain(source) && !isArchive(source))
  )
    linter.report('AddInsteadOfCopy', `ADD ${sources.join(' ')} could be COPY`, command.location);
}

function lintIgnored(
  command: CopyCommand,
  sources: readonly string[],
  patterns: readonly string[],
  linter: Linter,
): void {
  if (patterns.length === 0 || !linter.asks('CopyIgnoredFile', command.location)) return;
  const matcher = new PatternMatcher(patterns);
  for (const source of sources) {
    const path = posix
      .normalize(source)
      .replace(/^\.\//, '')
      .replace(/(.)\/$/, '$1');
    const isRoot = path === '.' || path === '/';
    if (isRoot && !patterns.some((pattern) => ['*', '**', '**/*'].includes(pattern))) continue;
    if (!matcher.matches(path)) continue;
    const verb = command.kind === 'add' ? 'Add' : 'Copy';
    linter.report(
      'CopyIgnoredFile',
      `Attempting to ${verb} file "${path}" that is excluded by .dockerignore`,
      command.location,
    );
  }
}

/** tsbuild's own rules for what a shell is told to do. */
export function lintRun(command: RunCommand, linter: Linter): void {
  if (!command.shellForm) return;
  const text = [...command.args, ...command.heredocs.map((heredoc) => heredoc.content)].join('\n');
  const report = (rule: Parameters<Linter['report']>[0], message: string) =>
    linter.report(rule, message, command.location);
  if (/(^|[\s;&|(])sudo\s/.test(text)) report('SudoInRun', 'Do not use sudo in RUN; change USER instead');
  const installs = /\bapt(-get)?\s+([^;&|\n]*\s)?install\b([^;&|\n]*)/.exec(text);
  if (installs && !installs[0].includes('--no-install-recommends') && !/APT::Install-Recommends/.test(text))
    report('AptRecommendedPackages', 'apt-get install without --no-install-recommends');
  const hasCachedLists = command.mounts.some((fields) =>
    fields.some(([key, value]) => /^(target|dst|destination)$/.test(key) && value.startsWith('/var/lib/apt')),
  );
  if (
    /\bapt(-get)?\s+([^;&|\n]*\s)?update\b/.test(text) &&
    !hasCachedLists &&
    !/\/var\/lib\/apt\/lists|apt-get\s+dist-clean/.test(text)
  )
    report('AptListsKept', 'The package lists of apt-get update stay in the layer');
  if (/(^|[;&|\n]\s*)cd\s+\S+\s*$/.test(text.trim()))
    report('CdInsteadOfWorkdir', 'The directory is forgotten after this RUN; use WORKDIR');
  const change = /\bch(own|mod)\s+(?:-\w+\s+)*-\w*R\w*\s+(?:-\S+\s+)*\S+\s+(\S+)/.exec(text);
  if (change)
    report(
      'ChownStoresTwice',
      `RUN ch${change[1]} -R ${change[2]} stores again each file that it changes; give COPY --ch${change[1]} instead`,
    );
}
