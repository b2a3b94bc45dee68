#!/bin/bash
# The integration tests that tell one runtime or user from another: as root and as an ordinary user, with crun, runc and the
# embedded sandbox. Root with crun is left out: `npm test` has it. Needs root; takes the runtimes' names as arguments.
# Ends with the sums as mocha prints them.
set -uo pipefail
project=$(cd "$(dirname "$0")/.." && pwd)
user=tsbuild-matrix
files=(build run-mounts run-options debug time-limits explain logs library)
home=$(mktemp -d)
useradd --no-create-home --home-dir "$home" --shell /bin/sh "$user" || exit
trap 'umount "$home/project" 2>/dev/null; userdel "$user"; rm -rf "$home"' EXIT
usermod --add-subuids 500000-565535 --add-subgids 500000-565535 "$user"
chown "$user:$user" "$home"
mkdir "$home/project"
passing=0
failing=0

# The project may lie where an ordinary user cannot walk to; a mount of its own shows it below the home.
run() {
  local who=$1 executor=$2 log
  log=$(mktemp)
  echo "-- as $who with $executor"
  local tests=("${files[@]/%/.test.ts}")
  local command=(env TSBUILD_EXECUTOR="$executor" npx mocha "${tests[@]/#/test/integration/}")
  if [ "$who" = user ]; then
    local identity=(setpriv --reuid "$user" --regid "$user" --init-groups)
    local environment=(env -i HOME="$home" PATH="$PATH:/usr/sbin:/sbin" TSBUILD_CI="${TSBUILD_CI:-}")
    # shellcheck disable=SC2016
    unshare --mount sh -c 'mount --bind "$1" "$2" && cd "$2" && shift 2 && exec "$@"' sh \
      "$project" "$home/project" "${identity[@]}" "${environment[@]}" "${command[@]}" 2>&1 | tee "$log"
  else
    (cd "$project" && "${command[@]}") 2>&1 | tee "$log"
  fi
  local status=$?
  local passed failed
  passed=$(sed -nE 's/^ *([0-9]+) passing.*/\1/p' "$log" | tail -1)
  failed=$(sed -nE 's/^ *([0-9]+) failing.*/\1/p' "$log" | tail -1)
  passing=$((passing + ${passed:-0}))
  [ "$status" = 0 ] || failing=$((failing + ${failed:-1}))
  rm -f "$log"
}

for executor in "${@:-crun}"; do
  [ "$executor" = crun ] || run root "$executor"
  run user "$executor"
done
echo "$passing passing"
echo "$failing failing"
[ "$failing" = 0 ]
