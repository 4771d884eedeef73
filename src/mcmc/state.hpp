// The whole state of a sampler between two transitions: what a checkpoint holds. Internal.
#pragma once

#include "mcmc/engine.hpp"

#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

namespace reeve::mcmc {

struct Sampler::State {
  State(Density d, const SampleOptions& o);

  Density density;
  SampleOptions options;
  std::size_t warmup = 0;
  Metric metric = Metric::dense;
  detail::Engine engine;
  std::vector<detail::ChainState> chains;
  std::vector<detail::Tuning> tunings;  ///< one, or one per chain
  std::vector<char> search_step;        ///< per tuning: find a step size before the next transition
  std::vector<Chain> output;
  std::vector<double> warm_q, warm_g;  ///< pooled warm-up: rows of D
  std::size_t warm_rows = 0;
  std::size_t iteration = 0, next_chain = 0, updates = 0, warmup_leapfrogs = 0;
  bool done = false;
  Status stopped = Status::ok;

  detail::Tuning& tuning(std::size_t chain) { return tunings[tunings.size() == 1 ? 0 : chain]; }
  bool start_chains(detail::Poll& poll);
  bool step(detail::Poll& poll);
  void learn_fisher(std::size_t chain, double accept);
  void learn_windows(std::size_t chain, double accept);
  void end_iteration();
  bool sample_one(std::size_t chain, detail::Poll& poll, DrawStats& stats);
  void keep(std::size_t chain, const DrawStats& stats);
  void check_chain(std::size_t chain) const;
  bool enough() const;

  /// Every field that changes, in order, to or from an archive.
  template <class Archive>
  void visit(Archive& archive) {
    archive(iteration), archive(next_chain), archive(updates), archive(warmup_leapfrogs);
    archive(done), archive(search_step), archive(warm_q), archive(warm_g), archive(warm_rows);
    archive(engine.leapfrogs);
    for (auto& c : chains) {
      Random::State random = c.random.state();
      archive(c.q), archive(c.g), archive(c.lp), archive(random), archive(c.started),
          archive(c.given);
      c.random.restore(random);
    }
    for (auto& t : tunings) {
      archive(t.metric.kind), archive(t.metric.n), archive(t.metric.s), archive(t.metric.root);
      archive(t.metric.inverse), archive(t.step), archive(t.window.n), archive(t.window.dense);
      archive(t.window.mean), archive(t.window.m2);
    }
    for (auto& c : output) {
      archive(c.q);
      std::vector<double> flat;  // without padding bytes, so that equal states are equal bytes
      for (const auto& s : c.stats)
        flat.insert(flat.end(), {s.lp, s.accept_stat, s.stepsize, s.energy, double(s.treedepth),
                                 double(s.n_leapfrog), double(s.divergent)});
      archive(flat);
      c.stats.resize(flat.size() / 7);
      for (std::size_t i = 0; i < c.stats.size(); ++i) {
        const double* f = flat.data() + 7 * i;
        c.stats[i] = {f[0], f[1], f[2], f[3], std::uint32_t(f[4]), std::uint32_t(f[5]), f[6] != 0};
      }
    }
  }
};

}  // namespace reeve::mcmc
