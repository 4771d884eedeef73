// Runs, their table, and the series that are plotted.
#include "reeve/alloc/comparison.hpp"

#include <algorithm>
#include <cstdio>

namespace reeve::alloc {

namespace {

Series distribution(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  Series s;
  for (std::size_t i = 0; i < values.size(); ++i)
    if (i + 1 == values.size() || values[i + 1] != values[i])
      s.points.emplace_back(values[i], double(i + 1) / double(values.size()));
  return s;
}

template <class Make>
std::string plot_of(const std::vector<Simulator::Run>& runs, PlotOptions options, Make make) {
  std::vector<Series> all;
  for (const auto& run : runs) {
    all.push_back(make(run.replay));
    all.back().name = run.name;
  }
  return svg_plot(all, options);
}

}  // namespace

Series utilisation_over_time(std::span<const Job> jobs, const Replay& replay,
                             std::int32_t processors, std::size_t buckets) {
  Series s;
  if (jobs.empty() || buckets == 0 || processors <= 0) return s;
  const Time first = jobs[0].submit;
  Time last = first + 1;
  for (const auto& job : replay.jobs) last = std::max(last, job.finish);
  std::vector<double> busy(buckets, 0);
  const double width = double(last - first) / double(buckets);
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    const double from = double(replay.jobs[i].start - first) / width;
    const double to = double(replay.jobs[i].finish - first) / width;
    const auto end = std::min(buckets, static_cast<std::size_t>(to) + 1);
    for (auto b = static_cast<std::size_t>(from); b < end; ++b)
      busy[b] +=
          std::max(0.0, std::min(to, double(b + 1)) - std::max(from, double(b))) * jobs[i].size;
  }
  for (std::size_t b = 0; b < buckets; ++b)
    s.points.emplace_back(double(b) * width / 3.6e9, busy[b] / processors);
  s.points.emplace_back(double(buckets) * width / 3.6e9, busy[buckets - 1] / processors);
  return s;
}

Series wait_distribution(std::span<const Job> jobs, const Replay& replay) {
  std::vector<double> values;
  for (std::size_t i = 0; i < jobs.size(); ++i)
    values.push_back(double(replay.jobs[i].start - jobs[i].submit) / 1e6);
  return distribution(std::move(values));
}

Series slowdown_distribution(std::span<const Job> jobs, const Replay& replay) {
  std::vector<double> values;
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    const double wait = double(replay.jobs[i].start - jobs[i].submit) / 1e6;
    const double run = double(jobs[i].run) / 1e6;
    values.push_back(std::max(1.0, (wait + run) / std::max(run, 10.0)));
  }
  return distribution(std::move(values));
}

Simulator::Simulator(Trace trace, std::int32_t processors) : trace_(std::move(trace)) {
  if (trace_.processors == 0) trace_.processors = processors;
}

Result<void> Simulator::run(std::string name, SimulatorOptions options) {
  for (const auto& r : runs_)
    if (r.name == name) return Refusal{.code = Code::duplicate, .subject = name};
  options.processors = trace_.processors;
  auto replay = simulate(trace_.jobs, options);
  if (!replay) return replay.refusal();
  runs_.push_back({std::move(name), std::move(*replay)});
  return {};
}

Result<void> Simulator::run_usual() {
  const std::pair<const char*, SimulatorOptions> usual[] = {
      {"fcfs", {.backfill = Backfill::none}},
      {"easy", {.backfill = Backfill::easy}},
      {"easy-sjf", {.order = Order::sjf, .backfill = Backfill::easy, .backfill_order = Order::sjf}},
      {"conservative", {.backfill = Backfill::conservative}}};
  for (const auto& [name, options] : usual)
    if (auto ok = run(name, options); !ok) return ok;
  return {};
}

std::string Simulator::table() const {
  char line[160];
  std::snprintf(line, sizeof line, "%-14s %12s %12s %10s %8s %12s\n", "rule", "mean wait s",
                "longest s", "slowdown", "used", "makespan h");
  std::string text = line;
  for (const auto& [name, r] : runs_) {
    std::snprintf(line, sizeof line, "%-14s %12.1f %12.1f %10.2f %7.1f%% %12.1f\n", name.c_str(),
                  r.mean_wait, r.max_wait, r.mean_bounded_slowdown, r.utilisation * 100,
                  r.makespan / 3600);
    text += line;
  }
  return text;
}

std::string Simulator::utilisation_svg() const {
  return plot_of(
      runs_, {.title = "Utilisation", .x_label = "hours", .y_label = "used", .steps = true},
      [&](const Replay& r) { return utilisation_over_time(trace_.jobs, r, trace_.processors); });
}

std::string Simulator::wait_svg() const {
  return plot_of(runs_,
                 {.title = "Wait",
                  .x_label = "seconds",
                  .y_label = "share of jobs",
                  .log_x = true,
                  .steps = true},
                 [&](const Replay& r) { return wait_distribution(trace_.jobs, r); });
}

std::string Simulator::slowdown_svg() const {
  return plot_of(runs_,
                 {.title = "Bounded slowdown",
                  .x_label = "slowdown",
                  .y_label = "share of jobs",
                  .log_x = true,
                  .steps = true},
                 [&](const Replay& r) { return slowdown_distribution(trace_.jobs, r); });
}

}  // namespace reeve::alloc
