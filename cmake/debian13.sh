#!/bin/sh
# Builds and tests reeve on Debian 13 (trixie) in a chroot made by debootstrap, from a copy of the committed sources.
#
#   sh cmake/debian13.sh FOLDER [WORD]      WORD is a word of cmake/bootstrap.sh, default test
#
# Root only. FOLDER gets the chroot (about 2 GB when built); a chroot that is already there is used again, its sources are
# replaced. Nothing of the host is visible inside: packages come from the chroot's own apt. The mounts live in a
# mount namespace of their own, so they are gone when this script ends, however it ends.
# Environment: REEVE_DEBIAN_MIRROR (default: the mirror the host's apt uses), REEVE_JOBS.
set -eu

fail() { printf '%s\n' "debian13: $*" >&2; exit 2; }
say() { printf '%s\n' "debian13: $*"; }

# The second half, inside the mount namespace.
if [ "${1:-}" = --inside ]; then
  chroot_dir=$2 word=$3
  mount --make-rprivate /
  mount -t proc proc "$chroot_dir/proc"
  mount -t sysfs sysfs "$chroot_dir/sys"
  mount -t cgroup2 cgroup2 "$chroot_dir/sys/fs/cgroup" 2>/dev/null || say "no cgroup v2 inside"
  mkdir -p "$chroot_dir/dev/shm" "$chroot_dir/dev/pts"
  mount -t tmpfs -o mode=1777 tmpfs "$chroot_dir/dev/shm"
  mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$chroot_dir/dev/pts"
  exec chroot "$chroot_dir" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
    CI="${CI:-true}" ${REEVE_JOBS:+REEVE_JOBS="$REEVE_JOBS"} ${http_proxy:+http_proxy="$http_proxy"} \
    ${https_proxy:+https_proxy="$https_proxy"} sh -c 'cd /src/reeve && exec sh cmake/bootstrap.sh "$1"' sh "$word" </dev/null
fi

[ $# -ge 1 ] || fail "usage: sh cmake/debian13.sh FOLDER [WORD]"
[ "$(id -u)" = 0 ] || fail "this needs root: debootstrap and chroot do"
case $1 in *' '*) fail "debootstrap cannot work in '$1': choose a folder without spaces" ;; esac
word=${2:-test}
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
mkdir -p "$1"
chroot_dir=$(CDPATH='' cd -- "$1" && pwd)

if ! grep -q '^13' "$chroot_dir/etc/debian_version" 2>/dev/null; then
  [ -z "$(ls -A "$chroot_dir")" ] || fail "'$chroot_dir' is not empty and holds no Debian 13"
  command -v debootstrap >/dev/null 2>&1 || {
    command -v apt-get >/dev/null 2>&1 || fail "install debootstrap first"
    say "installing debootstrap"
    DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install debootstrap >/dev/null </dev/null
  }
  mirror=${REEVE_DEBIAN_MIRROR:-}
  # shellcheck disable=SC2016
  [ -n "$mirror" ] || mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' \
                                 2>/dev/null | head -n 1)
  [ -n "$mirror" ] || fail "the host's apt names no Debian mirror; set REEVE_DEBIAN_MIRROR"
  say "making a Debian 13 in $chroot_dir"
  debootstrap --variant=minbase trixie "$chroot_dir" "$mirror" >"$chroot_dir.log" 2>&1 ||
    { tail -n 20 "$chroot_dir.log" >&2; fail "debootstrap failed; its output is in $chroot_dir.log"; }
fi

rm -rf "$chroot_dir/src/reeve"
mkdir -p "$chroot_dir/src/reeve"
git -C "$root" archive HEAD | tar -x -C "$chroot_dir/src/reeve"
say "sources of $(git -C "$root" rev-parse --short HEAD) copied; running 'bootstrap.sh $word' inside"
exec unshare --mount sh "$root/cmake/debian13.sh" --inside "$chroot_dir" "$word"
