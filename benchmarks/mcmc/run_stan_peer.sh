#!/bin/sh
# Builds Stan's own C++ sampler for the benchmark models. Usage: run_stan_peer.sh OUTPUT_DIR
# Needs R with ggplot2, Rcpp, RcppParallel, loo and callr, Boost, Eigen and TBB. Debian's r-cran-rstan (for stanc)
# and r-cran-stanheaders are used where they are installed; elsewhere they are fetched and unpacked into
# OUTPUT_DIR/root, because r-cran-bh, which they depend on, cannot stand beside Boost 1.81. A model takes half a
# minute, two at a time; what is up to date is not built again.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1" && cd "$1"

command -v Rscript >/dev/null || { echo "Stan's peers need R (r-base-core)" >&2; exit 3; }
has_rstan() { Rscript -e 'q(status = !suppressMessages(require(rstan, quietly = TRUE)))' >/dev/null 2>&1; }
if [ -d root ]; then R_LIBS=$PWD/root/usr/lib/R/site-library; export R_LIBS; fi
if ! has_rstan; then
  mkdir -p root
  (cd root && apt-get -qq download r-cran-rstan r-cran-stanheaders r-cran-inline r-cran-gridextra r-cran-pkgbuild \
     >/dev/null 2>&1 && for deb in ./*.deb; do dpkg -x "$deb" . && rm "$deb"; done) ||
    { rm -rf root; echo "Stan's peers need r-cran-rstan, which could not be fetched" >&2; exit 3; }
  R_LIBS=$PWD/root/usr/lib/R/site-library; export R_LIBS
  has_rstan || { echo "Stan's peers need rstan, which does not load (R_LIBS=$R_LIBS)" >&2; exit 3; }
fi
headers=$(Rscript -e 'cat(dirname(find.package("StanHeaders")))')/StanHeaders/include

build() {
  m=$1
  Rscript -e "suppressMessages(library(rstan)); r <- stanc('$here/stan/$m.stan', model_name='$m')" \
          -e "writeLines(r\$cppcode, '$m.hpp')" &&
  g++ -std=c++17 -O3 -march=native -w -DSTAN_MODEL="\"$m.hpp\"" -D_REENTRANT -I. -I"$headers/src" -I"$headers" \
      -I/usr/include/eigen3 "$here/stan/peer.cpp" -o "peer_$m.new" -ltbb &&
  mv "peer_$m.new" "peer_$m"
}
first='' failed=0
for file in "$here"/stan/*.stan; do
  m=$(basename "$file" .stan)
  if [ "peer_$m" -nt "$file" ] && [ "peer_$m" -nt "$here/stan/peer.cpp" ]; then continue; fi
  build "$m" >"$m.log" 2>&1 &
  if [ -n "$first" ]; then wait "$first" || failed=1; fi
  first=$!
done
if [ -n "$first" ]; then wait "$first" || failed=1; fi
if [ $failed != 0 ]; then echo "a Stan model did not build; see $PWD/*.log" >&2; exit 3; fi
