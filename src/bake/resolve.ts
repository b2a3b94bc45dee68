import { BuildError } from '../errors.js';
import { cleanPath, matchPath } from '../graph/path-match.js';
import type { Definitions } from './definitions.js';
import { notFound } from './not-found.js';
import { applyOverrides, type Override, readOverrides } from './overrides.js';
import { isRemote } from './paths.js';
import { type BakePlan, type Group, mergeTargets, normalizeTarget, type Target } from './target.js';

export const DEFAULT_TARGET = 'default';

/** What was asked for, and the targets that it links to, ready to be printed or built. @throws BAKE_NOT_FOUND, BAKE_INVALID */
export function resolvePlan(
  definitions: Definitions,
  asked: readonly string[],
  overrides: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): BakePlan {
  const resolver = new Resolver(definitions, readOverrides(overrides, definitions, env));
  const names = [...new Set(asked.flatMap((name) => matching(definitions, name.replaceAll('.', '_'))))];
  const targets = new Map<string, Target>();
  const groups = new Map<string, Group>();
  for (const name of names) {
    const members = resolver.members(name);
    for (const target of members.targets) targets.set(target, resolver.target(target));
    for (const group of members.groups) groups.set(group, definitions.groups.get(group)!);
  }
  const byDefault = new Set(groups.get(DEFAULT_TARGET)?.targets);
  for (const name of names) if (name !== DEFAULT_TARGET || !groups.has(DEFAULT_TARGET)) byDefault.add(name);
  groups.set(DEFAULT_TARGET, {
    ...groups.get(DEFAULT_TARGET),
    name: DEFAULT_TARGET,
    targets: [...byDefault].sort(),
  });
  const targetNames = [...targets.keys()];
  for (const target of [...targets.values()]) resolver.addLinks(target, targets, []);
  return {
    asked: targetNames,
    groups,
    targets: new Map([...targets].map(([name, target]) => [name, withSourceDate(target, env)])),
  };
}

function matching({ groups, targets }: Definitions, pattern: string): string[] {
  if (!/[*?[\]]/.test(pattern)) return [pattern];
  const names = [...groups.keys(), ...targets.keys()].filter((name) => matchPath(pattern, name));
  if (names.length === 0) throw notFound(pattern, [...groups.keys(), ...targets.keys()]);
  return names;
}

/** As `docker buildx` passes it on. */
function withSourceDate(
  target: Target,
  { SOURCE_DATE_EPOCH: epoch }: Readonly<Record<string, string | undefined>>,
): Target {
  if (!epoch || target.args?.['SOURCE_DATE_EPOCH'] !== undefined) return target;
  return { ...target, args: { ...target.args, SOURCE_DATE_EPOCH: epoch } };
}

class Resolver {
  private readonly resolved = new Map<string, Target>();

  constructor(
    private readonly definitions: Definitions,
    private readonly overrides: ReadonlyMap<string, ReadonlyMap<string, Override>>,
  ) {}

  /** Targets of a group, of groups in it, or the target itself. */
  members(name: string, above: readonly string[] = []): { targets: string[]; groups: string[] } {
    const group = this.definitions.groups.get(name);
    if (!group || (above.includes(name) && this.definitions.targets.has(name)))
      return { targets: [name], groups: [] };
    if (above.includes(name))
      throw new BuildError(
        'BAKE_INVALID',
        `the group "${name}" is in itself: ${[...above, name].join(' -> ')}`,
        {
          hint: 'take one of them out of the other',
        },
      );
    const inner = group.targets.map((member) => this.members(member, [...above, name]));
    return {
      targets: [...new Set(inner.flatMap(({ targets }) => targets))],
      groups: [...new Set([name, ...inner.flatMap(({ groups }) => groups)])],
    };
  }

  target(name: string): Target {
    const target = this.inherited(name, []);
    const context = target.context ?? '.';
    const { inherits: _, ...rest } = target;
    return { ...rest, context: cleanContext(context), dockerfile: target.dockerfile || 'Dockerfile' };
  }

  private inherited(name: string, below: readonly string[]): Target {
    if (below.includes(name))
      throw new BuildError(
        'BAKE_INVALID',
        `the target "${name}" inherits itself: ${[...below, name].join(' -> ')}`,
        {
          hint: 'take one name out of "inherits"',
        },
      );
    const known = this.resolved.get(name);
    if (known) return known;
    const own = this.definitions.targets.get(name);
    if (!own) throw notFound(name, [...this.definitions.targets.keys(), ...this.definitions.groups.keys()]);
    let target: Target = { name };
    for (const parent of own.inherits ?? [])
      target = mergeTargets(target, this.inherited(parent, [...below, name]));
    target = applyOverrides(mergeTargets(target, own), this.overrides.get(name));
    const normal = normalizeTarget(target);
    this.resolved.set(name, normal);
    return normal;
  }

  /** Targets that `target` has as contexts, and theirs; nobody asked for them, so they are written nowhere. */
  addLinks(target: Target, targets: Map<string, Target>, below: readonly string[]): void {
    const path = [...below, target.name];
    for (const value of Object.values(target.contexts ?? {})) {
      if (!value.startsWith('target:')) continue;
      const name = value.slice('target:'.length);
      if (path.includes(name))
        throw new BuildError(
          'BAKE_INVALID',
          `the target "${name}" is its own context: ${[...path, name].join(' -> ')}`,
          {
            hint: 'take one of the contexts away',
          },
        );
      let linked = targets.get(name);
      if (!linked) {
        linked = { ...this.target(name), output: [{ type: 'cacheonly' }] };
        targets.set(name, linked);
      }
      this.addLinks(linked, targets, path);
      const rights = new Set([
        ...(targets.get(target.name)!.entitlements ?? []),
        ...(targets.get(name)!.entitlements ?? []),
      ]);
      if (rights.size > 0)
        targets.set(target.name, { ...targets.get(target.name)!, entitlements: [...rights] });
      checkPlatforms(target, linked);
    }
  }
}

function checkPlatforms(target: Target, linked: Target): void {
  const [own, there] = [target.platforms ?? [], linked.platforms ?? []];
  if (own.length < 2 || there.length < 2 || own.every((platform) => there.includes(platform))) return;
  throw new BuildError(
    'BAKE_INVALID',
    `the target "${linked.name}" is a context of "${target.name}" and has not all of its platforms: ${there.join(', ')} against ${own.join(', ')}`,
    { hint: `add the platforms to "${linked.name}"` },
  );
}

/** As buildx prints a directory: without `./` and `cwd://`. */
function cleanContext(context: string): string {
  if (isRemote(context)) return context;
  return cleanPath(context.replace(/^cwd:\/\//, ''));
}
