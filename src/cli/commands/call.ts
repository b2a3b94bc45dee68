import type { DefinitionDocument } from '../../definition-document.js';
import {
  checkBuild,
  describeDefinition,
  listTargets,
  outlineBuild,
  type CheckResult,
  type TargetDescription,
} from '../../describe.js';
import { exitStatusOf, type SourceLocation } from '../../errors.js';
import { isSecretName } from '../../frontend/lint/instruction-rules.js';
import type { Outline } from '../../frontend/outline.js';
import type { BuildOptions } from '../../options.js';
import type { WarningEvent } from '../../progress.js';
import { type CallMethod, CALLS } from './call-method.js';
import { createPaint, hasColors, type Paint } from '../paint.js';
import { excerptOf, formatError } from '../print-error.js';
import { formatTable } from '../table.js';

/** Prints what a Dockerfile is and builds nothing. Gives the exit status: 1 when a check found something. */
export async function runCall(method: CallMethod, options: BuildOptions): Promise<number> {
  const print = (value: unknown, text: () => string) =>
    process.stdout.write(method.json ? `${JSON.stringify(value, null, 2)}\n` : text());
  switch (method.name) {
    case 'outline': {
      const outline = await outlineBuild(options);
      print(outlineJson(outline), () => outlineText(outline));
      return 0;
    }
    case 'targets': {
      const targets = await listTargets(options);
      print({ targets: targets.map(targetJson) }, () => targetsText(targets));
      return 0;
    }
    case 'convertllb': {
      const document = definitionJson(await describeDefinition(options));
      print(document, () => `${JSON.stringify(document, null, 2)}\n`);
      return 0;
    }
    case 'subrequests.describe':
      print(CALLS.map(callJson), callsText);
      return 0;
    case 'check': {
      const result = await checkBuild(options);
      print(checkJson(result), () => checkText(result, createPaint(hasColors(process.stdout))));
      if (result.error) {
        if (!method.json)
          process.stderr.write(formatError(result.error, createPaint(hasColors(process.stderr))));
        return exitStatusOf(result.error);
      }
      return result.warnings.length > 0 ? 1 : 0;
    }
  }
}

function checkText({ warnings, dockerfile, error }: CheckResult, paint: Paint): string {
  const count = warnings.length;
  const found = count === 1 ? '1 warning has been found!' : `${count} warnings have been found!`;
  const head = count === 0 && !error ? 'Check complete, no warnings found.' : `Check complete, ${found}`;
  return [head, ...warnings.map((warning) => warningText(warning, dockerfile, paint))].join('\n') + '\n';
}

function warningText(warning: WarningEvent, source: CheckResult['dockerfile'], paint: Paint): string {
  const { rule, url, message, location } = warning;
  const excerpt = location && excerptOf({ location, source }, paint);
  return [`\n${paint.yellow(`WARNING: ${rule}`)} - ${url}`, message, ...(excerpt ? [excerpt] : [])].join(
    '\n',
  );
}

function checkJson({ warnings, dockerfile, error }: CheckResult): object {
  return {
    warnings: warnings.map(({ rule, detail, url, message, location }) => ({
      ruleName: rule,
      description: detail,
      url,
      detail: message,
      ...(location ? { location: locationJson(location) } : {}),
    })),
    sources: [
      {
        filename: dockerfile.name,
        language: 'Dockerfile',
        data: Buffer.from(dockerfile.text).toString('base64'),
      },
    ],
    ...(error
      ? {
          buildError: {
            message: error.message,
            code: error.code,
            ...(error.hint === undefined ? {} : { hint: error.hint }),
            ...(error.location ? { location: locationJson(error.location) } : {}),
          },
        }
      : {}),
  };
}

/** Lines from 1, as BuildKit's. */
function locationJson({ startLine, endLine }: SourceLocation): object {
  return { ranges: [{ start: { line: startLine }, end: { line: endLine } }] };
}

function outlineJson({ args, secrets, ssh, caches, ...rest }: Outline): object {
  const located = <T extends { readonly location: SourceLocation }>(items: readonly T[]) =>
    items.map((item) => ({ ...item, location: locationJson(item.location) }));
  return {
    ...rest,
    args: located(args),
    secrets: located(secrets),
    ssh: located(ssh),
    cache: located(caches),
  };
}

function outlineText({ name, description, args, secrets, ssh, caches }: Outline): string {
  const parts: string[] = [];
  if (name !== undefined) parts.push(`TARGET: ${name}`);
  if (description !== undefined) parts.push(`DESCRIPTION: ${description}`);
  if (parts.length > 0) parts.push('');
  const table = (head: readonly string[], rows: readonly (readonly string[])[]) => {
    if (rows.length > 0) parts.push(formatTable(head, rows), '');
  };
  table(
    ['BUILD ARG', 'VALUE', 'DESCRIPTION'],
    args.map((arg) => [arg.name, shownValue(arg), arg.description ?? '']),
  );
  const required = (secret: { required: boolean }) => (secret.required ? 'true' : '');
  table(
    ['SECRET', 'REQUIRED'],
    secrets.map((secret) => [secret.name, required(secret)]),
  );
  table(
    ['SSH', 'REQUIRED'],
    ssh.map((agent) => [agent.name, required(agent)]),
  );
  table(
    ['CACHE MOUNT'],
    caches.map((cache) => [cache.id]),
  );
  return `${parts.join('\n').trimEnd()}\n`;
}

function shownValue({ name, value = '' }: Outline['args'][number]): string {
  return value !== '' && isSecretName(name) ? '*****' : value;
}

function targetJson({ location, ...target }: TargetDescription): object {
  return { ...target, location: locationJson(location) };
}

function targetsText(targets: readonly TargetDescription[]): string {
  const rows = targets.map((target, i) => [
    `${target.name ?? String(i)}${target.default ? ' (default)' : ''}`,
    target.base,
    target.description ?? '',
  ]);
  return `${formatTable(['TARGET', 'BASE', 'DESCRIPTION'], rows)}\n`;
}

function definitionJson({ vertices, ...rest }: DefinitionDocument): object {
  return {
    ...rest,
    vertices: vertices.map(({ locations, ...vertex }) => ({
      ...vertex,
      locations: locations.map((location) => ({ filename: location.file, ...locationJson(location) })),
    })),
  };
}

function callJson({ request, version, description }: (typeof CALLS)[number]): object {
  return { name: request, version, type: 'rpc', description };
}

function callsText(): string {
  const rows = CALLS.map(({ name, version, description }) => [name, version, description]);
  return `${formatTable(['NAME', 'VERSION', 'DESCRIPTION'], rows)}\n`;
}
