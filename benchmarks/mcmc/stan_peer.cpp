// Runs the programs that run_stan_peer.sh builds, one seed after the other.
#include "benchmarks/mcmc/stan_peer.hpp"

#include <fmt/format.h>

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>

namespace reeve::mcmc::bench {

using testing::DataSet;

double median(std::vector<double> x) {
  std::sort(x.begin(), x.end());
  return x[x.size() / 2];
}

double cpu_seconds() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
}

double least_ess(const std::vector<ChainDraws>& draws) {
  double least = INFINITY;
  for (const auto& x : draws) least = std::fmin(least, std::fmin(ess_bulk(x), ess_tail(x)));
  return least;
}

namespace {

// Two runs of the benchmark may share the folder.
std::string own_file(const std::string& folder, const char* name) {
  return fmt::format("{}/{}-{}", folder, ::getpid(), name);
}

void write_dump(const std::string& path, const DataSet& data,
                const std::vector<std::string>& integers) {
  std::ofstream out(path);
  out.precision(17);
  for (const auto& [name, v] : data) {
    const bool whole = std::find(integers.begin(), integers.end(), name) != integers.end();
    out << name << " <- ";
    if (v.size() != 1) out << (name == "x" && data.count("D") ? "structure(c(" : "c(");
    for (std::size_t i = 0; i < v.size(); ++i) {
      out << (i ? ", " : "");
      if (whole)
        out << static_cast<long>(v[i]);
      else
        out << fmt::format("{:.17e}", v[i]);
    }
    if (v.size() != 1) out << ")";
    if (name == "x" && data.count("D"))
      out << fmt::format(", .Dim = c({}, {}))", long(data.at("N")[0]), long(data.at("D")[0]));
    out << "\n";
  }
}

// The first `dimension` columns of a file of draws.
std::vector<ChainDraws> read_draws(const std::string& path, std::size_t dimension) {
  std::ifstream in(path);
  std::vector<ChainDraws> x(dimension, ChainDraws(4));
  std::string line;
  while (std::getline(in, line)) {
    char* at = line.data();
    const auto chain = static_cast<std::size_t>(std::strtol(at, &at, 10)) - 1;
    if (chain >= x[0].size()) continue;
    for (std::size_t p = 0; p < dimension; ++p) x[p][chain].push_back(std::strtod(at, &at));
  }
  return x;
}

std::optional<Figures> run(const std::string& folder, const std::string& peer, const char* metric,
                           int seeds, std::size_t dimension) {
  std::vector<double> rate, sampling_rate, efficiency, nanoseconds, all_seconds, all_ess;
  for (int seed = 1; seed <= seeds; ++seed) {
    const std::string draws = own_file(folder, "draws.txt");
    const std::string command =
        fmt::format("{}/peer_{} {} {} {} {} 2>/dev/null", folder, peer, own_file(folder, "data.R"),
                    metric, draws, 20240500 + seed);
    std::FILE* pipe = ::popen(command.c_str(), "r");
    if (!pipe) return std::nullopt;
    double total = 0, sampling = 0, leapfrogs = 0, ns = 0;
    const int fields = std::fscanf(pipe, "%lf %lf %lf %lf", &total, &sampling, &leapfrogs, &ns);
    if (::pclose(pipe) != 0 || fields != 4) return std::nullopt;
    const double least = least_ess(read_draws(draws, dimension));
    rate.push_back(least / total);
    sampling_rate.push_back(least / sampling);
    efficiency.push_back(1e3 * least / leapfrogs);
    nanoseconds.push_back(ns);
    all_seconds.push_back(total);
    all_ess.push_back(least);
  }
  std::printf("%s stan %s: %.3f s, ESS %.0f, %.0f/s, %.1f/kgrad, %.0f ns\n", peer.c_str(), metric,
              median(all_seconds), median(all_ess), median(rate), median(efficiency),
              median(nanoseconds));
  return Figures{median(rate), median(sampling_rate), median(efficiency), median(nanoseconds)};
}

}  // namespace

std::optional<PeerFigures> StanPeers::measure(const std::string& peer, const DataSet& data,
                                              const std::vector<std::string>& integers,
                                              std::size_t dimension) const {
  if (folder.empty() || !std::filesystem::exists(folder + "/peer_" + peer)) return std::nullopt;
  write_dump(own_file(folder, "data.R"), data, integers);
  std::optional<PeerFigures> found;
  for (const std::string metric : {"diag", "dense"}) {
    const auto f = run(folder, peer, metric.c_str(), seeds, dimension);
    if (!f) continue;
    if (!found) found = PeerFigures{};
    Figures& best = found->best;
    best.ess_per_second = std::max(best.ess_per_second, f->ess_per_second);
    best.ess_per_second_sampling =
        std::max(best.ess_per_second_sampling, f->ess_per_second_sampling);
    best.ess_per_kilogradient = std::max(best.ess_per_kilogradient, f->ess_per_kilogradient);
    best.nanoseconds = f->nanoseconds;
    if (metric == "diag") found->default_ess_per_second = f->ess_per_second;
  }
  for (const char* name : {"draws.txt", "data.R"}) std::remove(own_file(folder, name).c_str());
  return found;
}

}  // namespace reeve::mcmc::bench
