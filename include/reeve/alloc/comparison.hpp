// Simulator: one trace under many rules, as a table and as SVG plots.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "reeve/alloc/simulator.hpp"

namespace reeve::alloc {

/// A curve of a plot: points in ascending order of x.
struct Series {
  std::string name;
  std::vector<std::pair<double, double>> points;
};

/// How a plot is labelled and drawn.
struct PlotOptions {
  std::string title;
  std::string x_label;
  std::string y_label;
  bool log_x = false;  ///< points with x <= 0 are drawn at the left edge
  bool steps = false;  ///< a value lasts until the next point
  int width = 800;
  int height = 400;
};

/// A self-contained SVG document with axes, ticks and a legend; the same bytes on every compiler.
/// Preconditions: no point is infinite or not a number.
std::string svg_plot(const std::vector<Series>& series, const PlotOptions& options);

/// Busy processors / processors, averaged over `buckets` equal parts of the makespan, by hours
/// since the first submit.
Series utilisation_over_time(std::span<const Job> jobs, const Replay& replay,
                             std::int32_t processors, std::size_t buckets = 200);
/// The share of jobs whose wait is at most x seconds.
Series wait_distribution(std::span<const Job> jobs, const Replay& replay);
/// The share of jobs whose bounded slowdown is at most x.
Series slowdown_distribution(std::span<const Job> jobs, const Replay& replay);

/// Replays one trace under several rules and shows them side by side.
///
/// Threads: one at a time.
class Simulator {
 public:
  /// `processors` is used where the trace's header does not say.
  explicit Simulator(Trace trace, std::int32_t processors = 0);

  /// Replays under `options`; its `processors` is set from the trace.
  /// Errors: those of simulate(); duplicate (name).
  Result<void> run(std::string name, SimulatorOptions options);

  /// The rules that everybody knows: FCFS, EASY, EASY with SJF, conservative.
  /// Errors: those of run().
  Result<void> run_usual();

  /// One line per rule: mean and longest wait, mean bounded slowdown, utilisation, makespan.
  std::string table() const;
  std::string utilisation_svg() const;
  std::string wait_svg() const;
  std::string slowdown_svg() const;

  struct Run {
    std::string name;
    Replay replay;
  };
  const std::vector<Run>& runs() const noexcept { return runs_; }
  const Trace& trace() const noexcept { return trace_; }

 private:
  Trace trace_;
  std::vector<Run> runs_;
};

}  // namespace reeve::alloc
