import type { SourceLocation } from '../errors.js';
import type { ParsedHeredoc } from './instruction-line.js';

/** An instruction with its meaning checked as far as one line tells; variables are not expanded yet. */
export type Command =
  | FromCommand
  | RunCommand
  | CopyCommand
  | PairsCommand
  | ArgCommand
  | TextCommand
  | ListCommand
  | ShellFormCommand
  | HealthcheckCommand
  | OnbuildCommand;

interface CommandBase {
  readonly location: SourceLocation;
  /** The joined line, for names and excerpts. */
  readonly original: string;
  /** Comment lines directly above. */
  readonly comments: readonly string[];
  /** It comes from ONBUILD of the base. */
  readonly isTrigger?: boolean;
}

export interface FromCommand extends CommandBase {
  readonly kind: 'from';
  readonly image: string;
  /** Lower case. */
  readonly stageName?: string;
  readonly platform?: string;
}

export interface RunCommand extends CommandBase {
  readonly kind: 'run';
  readonly args: readonly string[];
  readonly shellForm: boolean;
  readonly heredocs: readonly ParsedHeredoc[];
  /** `--mount` options in order, values not expanded. */
  readonly mounts: readonly (readonly (readonly [key: string, value: string])[])[];
  readonly network?: 'default' | 'none' | 'host';
  readonly security?: 'sandbox' | 'insecure';
}

export interface CopyCommand extends CommandBase {
  readonly kind: 'copy' | 'add';
  readonly sources: readonly string[];
  readonly heredocs: readonly ParsedHeredoc[];
  readonly destination: string;
  readonly from?: string;
  readonly chown?: string;
  readonly chmod?: string;
  readonly excludes: readonly string[];
  readonly parents: boolean;
  readonly link: boolean;
  /** ADD: archives of the context are unpacked unless it is false, those of URLs when it is true. */
  readonly unpack?: boolean;
  /** ADD: the digest of a URL's file, or a repository's commit. */
  readonly checksum?: string;
  /** ADD: written, it says that the source is a repository. */
  readonly keepGitDirectory?: boolean;
}

/** ENV and LABEL. */
export interface PairsCommand extends CommandBase {
  readonly kind: 'env' | 'label';
  readonly pairs: readonly (readonly [name: string, value: string])[];
}

export interface ArgCommand extends CommandBase {
  readonly kind: 'arg';
  readonly args: readonly { readonly name: string; readonly value?: string }[];
}

export interface TextCommand extends CommandBase {
  readonly kind: 'workdir' | 'user' | 'stopsignal' | 'maintainer';
  readonly text: string;
}

export interface ListCommand extends CommandBase {
  readonly kind: 'expose' | 'volume' | 'shell';
  readonly items: readonly string[];
}

export interface ShellFormCommand extends CommandBase {
  readonly kind: 'cmd' | 'entrypoint';
  readonly args: readonly string[];
  readonly shellForm: boolean;
}

export interface HealthcheckCommand extends CommandBase {
  readonly kind: 'healthcheck';
  /** `NONE`, or `CMD` in one of its forms. */
  readonly test: readonly string[];
  readonly intervalNs: number;
  readonly timeoutNs: number;
  readonly startPeriodNs: number;
  readonly startIntervalNs: number;
  readonly retries: number;
}

export interface OnbuildCommand extends CommandBase {
  readonly kind: 'onbuild';
  /** The trigger's text, heredocs included. */
  readonly expression: string;
}
