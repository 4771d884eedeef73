// The whole state of a sampler between two transitions: what a checkpoint holds. Internal.
#pragma once

#include "mcmc/archive.hpp"
#include "mcmc/engine.hpp"

#include <vector>

namespace reeve::mcmc {

struct Sampler::State {
  State(Density d, const SampleOptions& o);

  static constexpr std::size_t shallow_iterations = 30;  ///< of pooled warm-up: small trees

  Density density;
  SampleOptions options;
  std::size_t warmup = 0;
  Metric metric = Metric::dense;
  detail::Engine engine;
  std::vector<detail::ChainState> chains;
  std::vector<detail::Tuning> tunings;  ///< one, or one per chain
  std::vector<char> search_step;        ///< per tuning: find a step size before the next transition
  std::vector<Chain> output;
  std::vector<double> warm_q, warm_g, warm_lp;  ///< pooled warm-up: rows of D, D and 1
  double target_accept = 0.8;                   ///< of pooled warm-up, unless the options name one
  std::size_t divergences = 0;                  ///< since the last update of the pooled metric
  std::size_t iteration = 0, next_chain = 0, updates = 0, warmup_leapfrogs = 0;
  bool done = false;
  Status stopped = Status::ok;

  detail::Tuning& tuning(std::size_t chain) { return tunings[tunings.size() == 1 ? 0 : chain]; }
  bool start_chains(detail::Poll& poll);
  bool step(detail::Poll& poll);
  void learn_fisher(std::size_t chain, double accept);
  void learn_windows(std::size_t chain, double accept);
  std::size_t automatic_warmup() const;
  bool learn_metric();
  bool extend_warmup();
  void end_iteration();
  bool sample_one(std::size_t chain, detail::Poll& poll, DrawStats& stats);
  void keep(std::size_t chain, const DrawStats& stats);
  void check_chain(std::size_t chain) const;
  bool enough() const;
  std::vector<std::size_t> fixed_sizes() const;
  bool consistent() const;
  Run result(std::vector<Chain> draws) const;

  /// Every field that changes, in order, to or from an archive.
  template <class Archive>
  void visit(Archive& archive) {
    archive(iteration), archive(next_chain), archive(updates), archive(warmup_leapfrogs);
    archive(done), archive(search_step), archive(warm_q), archive(warm_g), archive(warm_lp);
    archive(engine.leapfrogs), archive(target_accept), archive(divergences);
    archive(warmup);
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
    for (auto& c : output) detail::visit_chain(archive, c);
  }
};

}  // namespace reeve::mcmc
