#!/bin/bash
# The integration tests as root and as an ordinary user, with crun, runc and the embedded sandbox; root with crun is left out, since
# `npm test` has it. Needs root; takes the runtimes' names as arguments, and before them --whole for every file in every part. Two files
# run at a time. Ends with the sums as mocha prints them.
set -uo pipefail
project=$(cd "$(dirname "$0")/.." && pwd)
user=tsbuild-matrix-$$

whole=
if [ "${1:-}" = --whole ]; then
  whole=1
  shift
fi

# Every file of test/integration is in every part, but for these; which of them start a runtime was counted.
#
# No step runs in them:
no_steps="archives cache-backends changing-context hostile-context hostile-layers hostile-registry images library memory network-rules overlay pruned-layers pulled-layers
  remote-sources user-network wrong-hits"
# They try each runtime themselves, or are about crun alone:
own_runtimes="compiled-filters counts digests escape executor faults killed limits nested prepared-process run-command secrets"
# Steps run in them, but what they test comes before the process or after it, whatever started it:
around_processes="bake clock disk docker-load explain inputs large launch registry remote-cache remote-cache-buildkit repeats"
# Hundreds of small builds, to compare cache keys and what prune leaves; root with crun is enough.
only_caches="cache-corpus prune-property"
# A user can do nothing of it (limits without delegation, mounts that all see, strace, dockerd), or root makes a user in them.
only_root="counts digests disk-full escape faults killed limits memory nested network-rules oracle pulled-layers remote-cache-buildkit rootless"
# They call the worker in their own process, so the tests themselves run in the user's namespace.
in_process="cache-corpus changing-context compiled-filters exec-op executor hostile-layers overlay user-network"

lines() { tr -s ' \n' '\n' <<<"$*" | sed '/^$/d'; }
but() { grep -vxF -f <(lines "$@"); }
only() { grep -xF -f <(lines "$@"); }

part() { echo "$1 $(tr '\n' ' ')"; }

# parts_of RUNTIME: a line for each part: who (root; user; namespace), and the files. The largest come first, so that no long one is
# the last.
parts_of() {
  local files
  # shellcheck disable=SC2012
  files=$(cd "$project/test/integration" && ls -S -- *.test.ts | sed 's/\.test\.ts$//')
  [ -n "$whole" ] || files=$(but "$only_caches" <<<"$files")
  if [ "$1" != crun ]; then
    [ -n "$whole" ] || files=$(but "$no_steps" "$own_runtimes" "$around_processes" <<<"$files")
    part root <<<"$files"
  fi
  but "$only_root" "$in_process" <<<"$files" | part user
  # As in a rootless container; build is there because the command does not start itself again.
  only "$in_process" build <<<"$files" | part namespace
}

home=$(mktemp -d)
useradd --no-create-home --home-dir "$home" --shell /bin/sh "$user" || exit
trap 'userdel "$user"; rm -rf "$home"' EXIT
grep -q "^$user:" /etc/subuid || usermod --add-subuids 500000-565535 --add-subgids 500000-565535 "$user"
mkdir "$home/project" "$home/logs"
chown "$user:$user" "$home"
# Most machines open it to everyone, some to root only.
mknod -m 666 "$home/tun" c 10 200

# run_part EXECUTOR WHO FILE...
run_part() {
  local executor=$1 who=$2 started=$SECONDS log identity=() environment=() command
  shift 2
  log=$(mktemp -p "$home/logs")
  command=(env TSBUILD_EXECUTOR="$executor" npx mocha --parallel --jobs 2)
  for file in "$@"; do command+=("test/integration/$file.test.ts"); done
  if [ "$who" != root ]; then
    identity=(setpriv --reuid "$user" --regid "$user" --init-groups)
    environment=(env -i HOME="$home" PATH="$PATH:/usr/sbin:/sbin" TMPDIR="${TMPDIR:-/tmp}" TSBUILD_CI="${TSBUILD_CI:-}")
  fi
  if [ "$who" = namespace ]; then
    identity+=(unshare --user --map-root-user --map-auto --mount)
    environment+=(TSBUILD_REAL_UID="$(id -u "$user")")
  fi
  echo "-- as $who with $executor: $*"
  # The project may lie where an ordinary user cannot walk to; a mount of its own shows it below the home.
  # shellcheck disable=SC2016
  unshare --mount sh -c 'mount --bind "$1" "$2" && mount --bind "$3" /dev/net/tun; cd "$2" && shift 3 && exec "$@"' sh \
    "$project" "$home/project" "$home/tun" "${identity[@]}" "${environment[@]}" "${command[@]}" 2>&1 | tee "$log"
  [ "${PIPESTATUS[0]}" = 0 ] || grep -qE '^ *[0-9]+ failing' "$log" || echo "  1 failing" | tee -a "$log"
  echo "-- as $who with $executor: $((SECONDS - started)) s"
}

for executor in "${@:-crun}"; do
  while read -r who files <&3; do
    # shellcheck disable=SC2086
    run_part "$executor" "$who" $files
  done 3< <(parts_of "$executor")
done

# Numbers of a kind, of all parts.
sum() {
  sed -nE "s/^ *([0-9]+) $1.*/\1/p" "$home"/logs/* | awk '{ sum += $1 } END { print sum + 0 }'
}
echo "$(sum passing) passing"
echo "$(sum failing) failing"
[ "$(sum failing)" = 0 ]
