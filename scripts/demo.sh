#!/bin/bash
# The main job on real input: build an image, build it again, change a file, run it, save it for Docker.
# Everything it makes is in .demo/ (store, stand-in base, test.tar); each run starts from nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

demo="$PWD/.demo"
export TSBUILD_ROOT="$demo/store"
PATH="$PWD/bin:$PATH:/usr/sbin:/sbin"

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
show() {
  printf '\n$ %s\n' "$*"
  "$@"
}

# A store of an ordinary user holds files of its subordinate uids, which only the user namespace may remove.
remove_demo() {
  rm -rf "$demo" 2>/dev/null || unshare --user --map-root-user --map-auto rm -rf "$demo"
}

is_static_busybox() {
  local file
  file=$(command -v busybox) && ! ldd "$file" >/dev/null 2>&1
}

has_runtime() { command -v crun >/dev/null || command -v runc >/dev/null; }

# Debian's packages, where they are missing and this user may install them.
install_missing() {
  local missing=()
  is_static_busybox || missing+=(busybox-static)
  has_runtime || missing+=(crun)
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "missing here: ${missing[*]} (install them, then run the demo again)"
    return 0
  fi
  show apt-get install -y -qq --no-install-recommends "${missing[@]}" ||
    { show apt-get update -qq && show apt-get install -y -qq --no-install-recommends "${missing[@]}"; }
}

build_stand_in() {
  say "No registry with alpine can be reached from here: a stand-in base is built with tsbuild itself, from static busybox."
  install_missing
  if ! is_static_busybox; then
    echo "the demo needs a static busybox for the stand-in base: apt-get install busybox-static" >&2
    exit 1
  fi
  mkdir -p "$demo/base"
  cp "$(command -v busybox)" "$demo/base/busybox"
  printf '%s\n' 'FROM scratch' 'COPY busybox /bin/busybox' 'RUN ["/bin/busybox", "--install", "-s", "/bin"]' \
    'CMD ["/bin/sh"]' >"$demo/base/Dockerfile"
  show cat "$demo/base/Dockerfile"
  show tsbuild "$demo/base" -t alpine
}

remove_demo
mkdir -p "$demo"

say "1. The base image"
show tsbuild pull alpine || build_stand_in

say "2. Build examples/hello"
show tsbuild examples/hello -t test

say "3. Build it again: every step is CACHED"
show tsbuild examples/hello -t test

say "4. Change hello.sh in a copy and build that: one step runs"
show cp -r examples/hello "$demo/changed"
show sed -i 's/Hallo/Hallo again/' "$demo/changed/hello.sh"
show tsbuild "$demo/changed" -t changed

say "5. Run both"
show tsbuild run test
show tsbuild run changed

say "6. Save the image for Docker"
show tsbuild save test:latest -o "$demo/test.tar"
show ls -l "$demo/test.tar"

say "Done. Where Docker is installed:"
echo "  docker load -i .demo/test.tar"
echo "  docker run --rm test"
