#!/bin/sh
# Builds Stan's own C++ sampler for the benchmark models. Usage: run_stan_peer.sh OUTPUT_DIR
# Needs Debian's r-cran-rstan (stanc) and r-cran-stanheaders 2.21, Boost, Eigen and TBB. Where the r-cran-bh
# that rstan depends on cannot be installed beside Boost 1.81, unpack the packages (dpkg -x) into a folder
# and name its site-library in R_LIBS. About 25 s per model.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1" && cd "$1"
headers=$(Rscript -e 'cat(dirname(find.package("StanHeaders")))')/StanHeaders/include
for file in "$here"/stan/*.stan; do
  m=$(basename "$file" .stan)
  Rscript -e "suppressMessages(library(rstan)); r <- stanc('$file', model_name='$m'); writeLines(r\$cppcode, '$m.hpp')"
  g++ -std=c++17 -O3 -march=native -w -DSTAN_MODEL="\"$m.hpp\"" -D_REENTRANT -I. -I"$headers/src" -I"$headers" \
      -I/usr/include/eigen3 "$here/stan/peer.cpp" -o "peer_$m" -ltbb
done
