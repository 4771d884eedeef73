#!/bin/sh
# One command from a fresh machine to a running program: installs what a word needs, builds it and runs it.
#
#   sh cmake/bootstrap.sh demo      build the main example and run it on real input
#   sh cmake/bootstrap.sh test      build everything, run the tests labelled ci
#   sh cmake/bootstrap.sh full      the same build, the long counts (label full)
#   sh cmake/bootstrap.sh asan      clang++-19 with address and undefined behaviour sanitizers, tests
#   sh cmake/bootstrap.sh tsan      clang++-19 with the thread sanitizer, tests of the threaded components
#   sh cmake/bootstrap.sh clang     clang++-19, the second compiler, tests
#   sh cmake/bootstrap.sh consumer  programs that use reeve from outside, built from its sources (after test)
#   sh cmake/bootstrap.sh bench     benchmarks against their peers: a table and build/bench.json (`bench full`: more seeds)
#   sh cmake/bootstrap.sh packages [WORD]   only print the Debian packages that WORD (default test) needs
#
# Packages are installed by apt-get, as root, on Debian 12 and 13. Elsewhere the script goes on when everything
# is there and otherwise lists what to install and exits with status 2.
# Environment: REEVE_JOBS (parallel compilers), REEVE_STEP_LOG (file that gets one line per finished step).
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$root"

say() { printf '%s\n' "reeve: $*"; }
fail() { printf '%s\n' "reeve: $*" >&2; exit 1; }
usage() { sed -n '4,12s/^# \{0,3\}//p' "$root/cmake/bootstrap.sh"; }

# ---- What each word needs ----------------------------------------------------------------------------------------
distribution() {
  (ID='' VERSION_ID=''; [ -r /etc/os-release ] && . /etc/os-release; printf '%s-%s' "$ID" "${VERSION_ID:-}")
}

boost_package() {
  case $(distribution) in debian-12) echo libboost1.81-dev ;; *) echo libboost-dev ;; esac
}

packages_of() {
  build="g++ cmake ninja-build mold $(boost_package) libfmt-dev libspdlog-dev libhwloc-dev libsqlite3-dev libeigen3-dev"
  tests="libgtest-dev libgmock-dev librapidcheck-dev python3"
  case $1 in
    demo) echo "$build" ;;
    test | consumer) echo "$build $tests clang-format-19" ;;
    full) echo "$build $tests clang-format-19 r-base-core r-cran-posterior r-cran-loo" ;;  # R checks the diagnostics
    asan | tsan | clang) echo "$build $tests clang-19 llvm-19 libclang-rt-19-dev" ;;
    bench)
      echo "$build libbenchmark-dev redis-server python3 python3-joblib python3-psutil python3-pebble python3-billiard"
      echo "libtbb-dev r-base-core r-cran-ggplot2 r-cran-rcpp r-cran-rcppparallel r-cran-posterior r-cran-loo r-cran-callr" ;;
    *) return 1 ;;
  esac
}

installed() { dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q 'ok installed'; }

missing_packages() {
  list=''
  for package in $(packages_of "$1"); do installed "$package" || list="$list $package"; done
  echo "$list"
}

# What a machine without dpkg must have: programs, then headers.
missing_parts() {
  word=$1
  programs='cmake ninja g++'
  headers='boost/version.hpp fmt/format.h spdlog/spdlog.h hwloc.h sqlite3.h eigen3/Eigen/Core'
  case $word in
    asan | tsan | clang) programs="$programs clang++-19 python3" ;;
    bench | test | full | consumer) programs="$programs python3" ;;
  esac
  case $word in
    demo) ;;
    bench) headers="$headers benchmark/benchmark.h" ;;
    *) headers="$headers gtest/gtest.h gmock/gmock.h rapidcheck.h" ;;
  esac
  for program in $programs; do
    command -v "$program" >/dev/null 2>&1 || echo "program $program"
  done
  command -v g++ >/dev/null 2>&1 || return 0
  for header in $headers; do
    echo "#include <$header>" | g++ -x c++ -fsyntax-only - >/dev/null 2>&1 || echo "header <$header>"
  done
}

install_packages() {
  word=$1
  case $(distribution) in
    debian-12 | debian-13)
      missing=$(missing_packages "$word")
      if [ -z "$missing" ]; then say "every package '$word' needs is installed"; return 0; fi
      if [ "$(id -u)" != 0 ]; then
        say "'$word' needs packages that are not installed. As root, run:" >&2
        echo "  apt-get install --no-install-recommends$missing" >&2
        exit 2
      fi
      say "installing:$missing"
      mkdir -p build
      log=build/packages.log
      export DEBIAN_FRONTEND=noninteractive
      # shellcheck disable=SC2086
      if ! { apt-get -qq -o DPkg::Lock::Timeout=300 update &&
             apt-get -qq -o DPkg::Lock::Timeout=300 -y --no-install-recommends --no-remove install $missing
           } >"$log" 2>&1 </dev/null; then
        tail -n 20 "$log" >&2
        fail "apt-get could not install them; its output is in $log"
      fi
      ;;
    *)
      missing=$(missing_parts "$word")
      if [ -z "$missing" ]; then return 0; fi
      say "this is not Debian 12 or 13, so nothing is installed for you. '$word' misses:" >&2
      printf '%s\n' "$missing" | sed 's/^/  /' >&2
      echo "(versions: cmake 3.25, g++ 12, Boost 1.81, fmt 9, spdlog 1.10, hwloc 2.9, clang 19 or newer;" >&2
      echo " on Debian the packages are: $(packages_of "$word"))" >&2
      exit 2
      ;;
  esac
}

# ---- Steps -------------------------------------------------------------------------------------------------------
jobs() {
  if [ -n "${REEVE_JOBS:-}" ]; then echo "$REEVE_JOBS"; return; fi
  cpus=$(nproc 2>/dev/null || echo 1)
  by_memory=$(awk '/^MemAvailable:/ {print int($2 / 2097152)}' /proc/meminfo 2>/dev/null || echo 1)
  [ "${by_memory:-0}" -ge 1 ] || by_memory=1
  if [ "$by_memory" -lt "$cpus" ]; then echo "$by_memory"; else echo "$cpus"; fi
}

record() {  # word, step, seconds, passed tests, failed tests
  [ -z "${REEVE_STEP_LOG:-}" ] || printf '%s\t%s\t%s\t%s\t%s\n' "$@" >>"$REEVE_STEP_LOG"
}

step() {  # word, name, command...: runs it and says how long it took
  step_word=$1 step_name=$2
  shift 2
  started=$(date +%s)
  say "[$step_word] $step_name ..."
  status=0
  "$@" || status=$?
  seconds=$(($(date +%s) - started))
  if [ "$status" != 0 ]; then
    say "[$step_word] $step_name FAILED after $seconds s (status $status)" >&2
    exit "$status"
  fi
  say "[$step_word] $step_name: $seconds s"
  record "$step_word" "$step_name" "$seconds" 0 0
}

# CMake keeps the compiler of a first configure; a build tree moved to another folder starts afresh.
configure() {  # preset, options...
  preset=$1
  shift
  cache="build/$preset/CMakeCache.txt"
  if [ -f "$cache" ] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$root" "$cache"; then rm -rf "build/$preset"; fi
  mkdir -p build
  if ! cmake --preset "$preset" "$@" >"build/configure-$preset.log" 2>&1 </dev/null; then
    cat "build/configure-$preset.log" >&2
    return 1
  fi
}

build() {  # preset, targets...
  preset=$1
  shift
  if [ $# -gt 0 ]; then set -- --target "$@"; fi
  cmake --build "build/$preset" --parallel "$(jobs)" "$@" </dev/null
}

run_tests() {  # word, preset, label
  word=$1 preset=$2 label=$3
  log="build/ctest-$word.log"
  started=$(date +%s)
  say "[$word] tests labelled $label ..."
  { status=0
    # Tests of real kernels get a second try on the shared machines of a CI; the log shows the first.
    ctest --test-dir "build/$preset" -L "^$label\$" --parallel 2 --output-on-failure \
      --no-tests=error ${CI:+--repeat until-pass:2} </dev/null 2>&1 ||
      status=$?
    echo "$status" >"$log.status"
  } | tee "$log" | awk '/ +Passed +[0-9.]+ sec$/ || /^ +Start +[0-9]+: / {next} {print; fflush()}'
  status=$(cat "$log.status")
  seconds=$(($(date +%s) - started))
  counts=$(sed -n 's/^[0-9]*% tests passed, \([0-9]*\) tests* failed out of \([0-9]*\).*/\1 \2/p' "$log" | tail -n 1)
  failed=${counts% *} total=${counts#* }
  [ -n "$counts" ] || { failed=1 total=1; }
  record "$word" "tests ($label)" "$seconds" $((total - failed)) "$failed"
  # With --repeat a test that failed once has passed after that.
  second=$(sed -n 's/.*Test *#[0-9]*: \([^ ]*\).*\*\*\*\(Failed\|Timeout\|Exception\).*/\1/p' "$log" | sort | uniq -c |
    awk '$1 == 1 {printf " %s", $2}')
  if [ -n "${CI:-}" ] && [ "$failed" = 0 ] && [ -n "$second" ]; then say "[$word] passed at the second try only:$second"; fi
  [ "$status" = 0 ] || fail "[$word] tests FAILED after $seconds s; the whole output is in $log"
  say "[$word] tests: $((total - failed)) passed in $seconds s"
}

# ---- Words -------------------------------------------------------------------------------------------------------
do_demo() {
  if [ -f build/release/CMakeCache.txt ]; then step demo configure configure release
  else step demo configure configure release -DREEVE_BUILD_TESTS=OFF; fi
  if ! cmake --build build/release --target help | grep '^reeve_demo_study:' >/dev/null; then
    fail "this version has no main example yet (target reeve_demo_study, folder examples/study)"
  fi
  step demo build build release reeve_demo_study
  program=$(find build/release/examples -name reeve_demo_study -type f -perm -u+x | head -n 1)
  step demo run "$program" examples/data build/study
}

do_tests() {  # word, preset, label
  step "$1" configure configure "$2" -DREEVE_BUILD_TESTS=ON
  step "$1" build build "$2"
  run_tests "$1" "$2" "$3"
}

# Without them the rows of mcmc have no peer: that is said, and the rest goes on.
stan_peers() {
  sh benchmarks/mcmc/run_stan_peer.sh build/stan-peers || say "no Stan beside the figures of mcmc"
}

do_bench() {  # size: short or full
  step bench configure configure bench
  step bench build build bench
  step bench peers stan_peers
  step bench run /usr/bin/env PATH="/usr/bin:$PATH" REEVE_STAN_PEERS="$PWD/build/stan-peers" \
    REEVE_BENCH="$1" python3 benchmarks/run.py \
    --programs build/bench/benchmarks/programs.txt --out build/bench.json
}

word=${1:-}
case $word in
  packages)
    packages_of "${2:-test}" || { usage >&2; exit 2; }
    exit 0 ;;
  demo | test | full | asan | tsan | clang | consumer | bench) ;;
  help | -h | --help) usage; exit 0 ;;
  *) printf "reeve: '%s' is no word of this script; these are:\n" "$word" >&2; usage >&2; exit 2 ;;
esac
case ${REEVE_JOBS:-1} in
  *[!0-9]* | 0*) fail "REEVE_JOBS='$REEVE_JOBS' is no number of parallel compilers; give it 1 or more" ;;
esac

begun=$(date +%s)
step "$word" packages install_packages "$word"
# A symbolizer makes the sanitizers' stacks readable.
if [ -x /usr/bin/llvm-symbolizer-19 ]; then
  ASAN_SYMBOLIZER_PATH=/usr/bin/llvm-symbolizer-19
  TSAN_OPTIONS="external_symbolizer_path=$ASAN_SYMBOLIZER_PATH ${TSAN_OPTIONS:-}"
  export ASAN_SYMBOLIZER_PATH TSAN_OPTIONS
fi
case $word in
  demo) do_demo ;;
  test) do_tests test release ci ;;
  full) do_tests full release full ;;
  consumer) do_tests consumer release consumer ;;
  asan | tsan | clang) do_tests "$word" "$word" ci ;;
  bench) do_bench "${2:-short}" ;;
esac
say "'$word' done in $(($(date +%s) - begun)) s"
