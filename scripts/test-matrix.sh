#!/bin/bash
# The integration tests as root and as an ordinary user, with crun, runc and the embedded sandbox; root with crun is left out, since
# `npm test` has it. Needs root; takes the runtimes' names as arguments. Two parts run at a time. Ends with the sums as mocha prints them.
set -uo pipefail
project=$(cd "$(dirname "$0")/.." && pwd)
user=tsbuild-matrix

# A part: a name, who (root; user; namespace: the tests themselves run in the user's namespace, because they call the worker in their own
# process), and the files. The longest ones come first.
#
# In no part, since neither user nor runtime make a difference: cache-backends, cache-corpus, wrong-hits, prune-property, test/conformance, test/property.
# Since an ordinary user can do nothing of it: counts, disk-full, limits, oracle, remote-cache-buildkit. Since they make an ordinary
# user themselves, as root: digests, escape, rootless. Since they try each runtime themselves they are in crun's parts only:
# executor, run-command, secrets.
steps="build run-mounts run-options debug time-limits explain logs"
parts_of() {
  if [ "$1" = crun ]; then
    echo "user secrets run-command remote-mounts"
    echo "user remote-cache registry debian inputs"
    echo "namespace build exec-op executor hostile-layers overlay user-network changing-context"
    echo "user archives bake disk docker-load doctor hostile-context hostile-registry library network processes remote-sources run-limits"
    echo "user $steps"
  else
    echo "root $steps exec-op"
    echo "user $steps network"
    echo "namespace exec-op"
  fi
}

home=$(mktemp -d)
useradd --no-create-home --home-dir "$home" --shell /bin/sh "$user" || exit
trap 'userdel "$user"; rm -rf "$home"' EXIT
grep -q "^$user:" /etc/subuid || usermod --add-subuids 500000-565535 --add-subgids 500000-565535 "$user"
mkdir "$home/project" "$home/logs"
chown "$user:$user" "$home"
# Most machines open it to everyone, some to root only.
mknod -m 666 "$home/tun" c 10 200

# run_part EXECUTOR WHO FILE...: what mocha says comes out at the end, in one piece.
run_part() {
  local executor=$1 who=$2 started=$SECONDS log identity=() environment=() command
  shift 2
  log=$(mktemp -p "$home/logs")
  command=(env TSBUILD_EXECUTOR="$executor" npx mocha)
  for file in "$@"; do command+=("test/integration/$file.test.ts"); done
  if [ "$who" != root ]; then
    identity=(setpriv --reuid "$user" --regid "$user" --init-groups)
    environment=(env -i HOME="$home" PATH="$PATH:/usr/sbin:/sbin" TMPDIR="${TMPDIR:-/tmp}" TSBUILD_CI="${TSBUILD_CI:-}")
  fi
  if [ "$who" = namespace ]; then
    identity+=(unshare --user --map-root-user --map-auto --mount)
    environment+=(TSBUILD_REAL_UID="$(id -u "$user")")
  fi
  # The project may lie where an ordinary user cannot walk to; a mount of its own shows it below the home.
  # shellcheck disable=SC2016
  unshare --mount sh -c 'mount --bind "$1" "$2" && mount --bind "$3" /dev/net/tun; cd "$2" && shift 3 && exec "$@"' sh \
    "$project" "$home/project" "$home/tun" "${identity[@]}" "${environment[@]}" "${command[@]}" >"$log" 2>&1 ||
    grep -qE '^ *[0-9]+ failing' "$log" || echo "  1 failing" >>"$log"
  (
    flock 9
    echo "-- as $who with $executor: $* ($((SECONDS - started)) s)"
    cat "$log"
  ) 9>"$home/lock"
}

for executor in "${@:-crun}"; do
  while read -r part; do
    [ "$(jobs -rp | wc -l)" -lt 2 ] || wait -n
    # shellcheck disable=SC2086
    run_part "$executor" $part &
  done < <(parts_of "$executor")
done
wait

# Numbers of a kind, of all parts.
sum() {
  sed -nE "s/^ *([0-9]+) $1.*/\1/p" "$home"/logs/* | awk '{ sum += $1 } END { print sum + 0 }'
}
echo "$(sum passing) passing"
echo "$(sum failing) failing"
[ "$(sum failing)" = 0 ]
