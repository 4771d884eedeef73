// ESS per CPU second and per gradient, side by side with Stan's C++ sampler where its peers were
// built: folder $REEVE_STAN_PEERS or the first argument. REEVE_BENCH=full takes more seeds.
#include "benchmarks/mcmc/posteriors.hpp"
#include "benchmarks/mcmc/stan_peer.hpp"
#include "benchmarks/support/report.hpp"

#include <reeve/mcmc.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

using namespace reeve::mcmc;
using bench::Figures;

const char* const peer_name = "Stan 2.21 C++, better of diag_e and dense_e";

// The quantities whose ESS counts: the same as Stan's.
double least_ess(const bench::Posterior& p, const Run& run) {
  std::vector<ChainDraws> draws;
  for (std::size_t i = 0; i < p.density.parameters().size(); ++i) draws.push_back(run.values(i));
  if (p.to_stan) p.to_stan(draws);
  return bench::least_ess(draws);
}

Figures measure(const bench::Posterior& p, int seeds) {
  const Density& d = p.density;
  std::vector<double> rate, sampling_rate, efficiency, seconds, ess;
  int failed = 0;
  for (int seed = 1; seed <= seeds; ++seed) {
    SampleOptions o;
    o.seed = static_cast<std::uint64_t>(seed);
    std::vector<double> at{bench::cpu_seconds()};  // after each round of the chains
    Sampler sampler(d, o);
    do at.push_back(bench::cpu_seconds());
    while (!sampler.advance({}, o.chains));
    at.push_back(bench::cpu_seconds());
    const Run run = sampler.result();
    ess.push_back(least_ess(p, run));
    seconds.push_back(at.back() - at.front());
    rate.push_back(ess.back() / seconds.back());
    sampling_rate.push_back(ess.back() / (at.back() - at[1 + run.warmup]));
    efficiency.push_back(1e3 * ess.back() /
                         double(run.diagnostics().leapfrogs + run.warmup_leapfrogs));
    failed += run.status() != Status::ok;
  }
  std::vector<double> q(d.dimension(), 0.1), g(d.dimension());
  const double from = bench::cpu_seconds();
  int count = 0;
  double sum = 0;
  for (; count < 200000 && (count % 64 || bench::cpu_seconds() - from < 0.2); ++count) {
    q[0] = 0.1 + 1e-9 * count;
    sum += d.evaluate(q, g);
  }
  const double ns = (bench::cpu_seconds() - from) / count * 1e9;
  std::printf("  reeve: %.4f s, ESS %.0f, %.0f/s, %.1f/kgrad, %.0f ns, %d of %d not ok\n",
              bench::median(seconds), bench::median(ess), bench::median(rate),
              bench::median(efficiency), sum == 1 ? 0 : ns, failed, seeds);
  return {bench::median(rate), bench::median(sampling_rate), bench::median(efficiency), ns};
}

void row(const std::string& name, double value, const char* unit, double ratio_goal, double peer) {
  reeve::bench::Figure figure("mcmc", name, value, unit);
  if (peer > 0) {
    if (ratio_goal > 0) figure.at_least(ratio_goal * peer);
    figure.against(peer_name, peer);
  }
  figure.print();
}

// The better metric makes most of the gain on regressions that are badly scaled.
double gradient_goal(const std::string& name) {
  return name == "kidscore" || name == "logearn" ? 10 : 1.8;
}

// Of ESS per CPU second; 0 without a peer.
struct Ratios {
  double to_best = 0, to_default = 0;
};

// Rows of one posterior.
Ratios compare(const bench::Posterior& p, const bench::StanPeers& peers, int seeds, bool plain) {
  std::printf("%s%s\n", p.name.c_str(), plain ? ", plain template" : "");
  const Figures ours = measure(p, seeds);
  const bench::PeerFigures peer = peers.measure(p.peer, p.stan, p.integers, p.density.dimension())
                                      .value_or(bench::PeerFigures{});
  const Figures& stan = peer.best;
  const std::string name = p.name + (plain ? ", template without gradient: " : ": ");
  row(name + "ESS per CPU second", ours.ess_per_second, "1/s", p.goal, stan.ess_per_second);
  row(name + "of the sampling phase alone", ours.ess_per_second_sampling, "1/s", 0,
      stan.ess_per_second_sampling);
  if (!plain)
    row(name + "ESS per 1000 gradients", ours.ess_per_kilogradient, "1", gradient_goal(p.name),
        stan.ess_per_kilogradient);
  if (stan.nanoseconds > 0)
    reeve::bench::Figure("mcmc", name + "one gradient", ours.nanoseconds, "ns")
        .against("Stan 2.21 C++", stan.nanoseconds)
        .print();
  else
    row(name + "one gradient", ours.nanoseconds, "ns", 0, 0);
  const auto over = [&](double theirs) { return theirs > 0 ? ours.ess_per_second / theirs : 0; };
  return {over(stan.ess_per_second), over(peer.default_ess_per_second)};
}

class GeometricMean {
 public:
  explicit GeometricMean(const char* to_what) : to_what_(to_what) {}
  void add(double ratio) {
    if (ratio > 0) log_sum_ += std::log(ratio), ++count_;
  }
  void print(double goal) const {
    if (count_ == 0) return;
    const std::string name =
        "geometric mean of " + std::to_string(count_) + " ratios of ESS per CPU second" + to_what_;
    reeve::bench::Figure("mcmc", name, std::exp(log_sum_ / count_), "x").at_least(goal).print();
  }

 private:
  const char* to_what_;
  double log_sum_ = 0;
  int count_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  const char* size = std::getenv("REEVE_BENCH");
  const bool full = size && std::string(size) == "full";
  const char* folder = std::getenv("REEVE_STAN_PEERS");
  const bench::StanPeers peers{argc > 1 ? argv[1] : folder ? folder : "", full ? 7 : 3};
  if (peers.folder.empty())
    std::printf("no peers: build them with run_stan_peer.sh DIR and set REEVE_STAN_PEERS to DIR\n");
  const auto root = testing::posteriordb();
  if (!root)
    std::printf("set REEVE_DATA_DIR to the folder that holds posteriordb/ for eight more\n");
  const std::string only = argc > 2 ? argv[2] : "";  // a part of a posterior's name
  GeometricMean to_best(""), to_default(", to Stan's default metric");
  for (const auto& p : bench::fast_posteriors(root)) {
    if (p.name.find(only) == std::string::npos) continue;
    const Ratios ratios = compare(p, peers, full ? 21 : 11, false);
    to_best.add(ratios.to_best);
    to_default.add(ratios.to_default);
  }
  for (const auto& p : bench::plain_posteriors())
    if (p.name.find(only) != std::string::npos) compare(p, peers, full ? 21 : 11, true);
  if (only.empty()) {
    to_best.print(15);
    to_default.print(20);
  }
}
