// The parts of a chain: position, metric, step size, trajectories. Internal to reeve::mcmc.
#pragma once

#include <reeve/mcmc/random.hpp>
#include <reeve/mcmc/sampler.hpp>

#include <vector>

namespace reeve::mcmc::detail {

/// S, an estimate of the covariance: momentum p ~ N(0, S^-1), velocity S p.
struct MassMetric {
  Metric kind = Metric::unit;
  std::size_t n = 0;
  std::vector<double> s;        ///< diagonal, or n x n
  std::vector<double> root;     ///< sqrt of the diagonal, or L with S = L L^T (column-major)
  std::vector<double> inverse;  ///< 1 / sqrt, or L^-T (column-major)

  void set_unit(Metric kind, std::size_t n);
  void set_diagonal(const std::vector<double>& variances);
  /// False, and no change, when `covariance` is not positive definite.
  bool set_dense(const std::vector<double>& covariance);
  void multiply(const double* x, double* out) const noexcept;  ///< S x
  /// p ~ N(0, S^-1) and v = S p.
  void draw_momentum(Random& random, double* p, double* v, double* scratch) const noexcept;
};

/// Nesterov dual averaging of log step size (Hoffman and Gelman 2014, section 3.2).
struct StepSize {
  double eps = 1, mu = 0, h_bar = 0, log_bar = 0, count = 0;
  void restart(double step, double aggressive) noexcept;
  void learn(double accept, double target) noexcept;
  void settle() noexcept;
};

/// Running mean and (co)variance of Stan's windows.
struct Welford {
  std::size_t n = 0;
  bool dense = false;
  std::vector<double> mean, m2;
  void reset(std::size_t dimension, bool with_covariance);
  void add(const double* x);
};

/// What is tuned during warm-up: shared by all chains (fisher), or one per chain (stan, random
/// walk).
struct Tuning {
  MassMetric metric;
  StepSize step;
  Welford window;
};

struct ChainState {
  std::vector<double> q, g;
  double lp = 0;
  Random random;
  bool started = false, given = false;
};

/// Looks at the stop token at every evaluation, and asks the clock often enough: at each one when
/// they are slow, after up to 128 when they take nanoseconds.
class Poll {
 public:
  explicit Poll(const StopWhen& stop)
      : stop_(stop), active_(stop.deadline || stop.stop.stop_possible()) {}
  bool should_stop() noexcept {
    if (!active_) return false;
    if (status_ != Status::ok) return true;
    if (stop_.stop.stop_requested()) {
      status_ = Status::cancelled;
      return true;
    }
    if (!stop_.deadline || ++since_ < every_) return false;
    return ask_clock();
  }
  Status status() const noexcept { return status_; }

 private:
  bool ask_clock() noexcept;
  const StopWhen& stop_;
  bool active_;
  std::uint32_t since_ = 0, every_ = 1;
  std::optional<Clock::time_point> last_;
  Status status_ = Status::ok;
};

/// Memory and temporaries of one transition; no allocation after construction.
class Engine {
 public:
  Engine(const Density& density, const SampleOptions& options);

  /// Both return false when `poll` stopped them; `chain` is then unchanged but for its random
  /// state.
  bool nuts(ChainState& chain, const Tuning& tuning, std::uint32_t max_depth, Poll& poll,
            DrawStats& out);
  bool hmc(ChainState& chain, const Tuning& tuning, Poll& poll, DrawStats& out);
  bool random_walk(ChainState& chain, Tuning& tuning, bool adapt, double gain, Poll& poll,
                   DrawStats& out);
  /// A step size whose first leapfrog accepts with about 0.8.
  bool find_step(ChainState& chain, Tuning& tuning, Poll& poll);

  std::size_t leapfrogs = 0;

 private:
  struct Edge {
    double *q, *p, *v, *g, *w;
    double lp, energy;
  };
  struct Tree {
    double *q, *g, *rho, *p_begin, *p_end, *v_begin, *v_end;
    double lp, energy, log_weight;
  };
  bool build(std::uint32_t depth, double step, Edge& edge, Tree& out);
  bool leaf(double step, Edge& edge, Tree& out);
  void leapfrog(double step, Edge& edge);
  void start(const ChainState& chain, const Tuning& tuning, Random& random, Edge& edge);
  void copy(const Edge& from, Edge& to) noexcept;
  double* take(std::size_t count) noexcept;
  Edge take_edge() noexcept;
  Tree take_tree() noexcept;

  const Density& density_;
  std::size_t n_;
  std::uint32_t max_depth_, hmc_leapfrogs_;
  std::vector<double> memory_;
  std::size_t used_ = 0;
  Edge forward_{}, backward_{}, initial_{};
  std::vector<Tree> trees_;
  double *scratch_, *rho_;
  // Of the trajectory in progress.
  const MassMetric* metric_ = nullptr;
  Random* random_ = nullptr;
  Poll* poll_ = nullptr;
  double energy0_ = 0, accept_sum_ = 0;
  std::uint32_t steps_ = 0;
  bool divergent_ = false, stopped_ = false;
};

/// Metric from pooled warm-up draws and gradients (both row-major, count x n).
bool fisher_metric(std::span<const double> draws, std::span<const double> gradients, std::size_t n,
                   MassMetric& metric);

}  // namespace reeve::mcmc::detail
