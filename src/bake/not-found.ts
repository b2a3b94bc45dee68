import { BuildError, nearestName } from '../errors.js';

/** Names what there is in place of `name`. */
export function notFound(name: string, names: readonly string[]): BuildError {
  const nearest = nearestName(name, names);
  const all = names.toSorted().join(', ');
  return new BuildError(
    'BAKE_NOT_FOUND',
    `there is no target "${name}"${nearest ? `; did you mean "${nearest}"?` : ''}`,
    {
      hint: names.length === 0 ? 'the bake files define no target' : `there are ${all}`,
    },
  );
}
