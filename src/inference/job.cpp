// A link that was checked: what it needs, and whether a worker has that.
#include "inference/job.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <reeve/base/error.hpp>

#include "inference/standard.hpp"

namespace reeve::inference {
namespace {

// Bytes: of a worker that has done nothing yet; per draw of figures and of one parameter; per draw
// of the fit that is being summed up (bridge sampling, ranks).
constexpr std::uint64_t at_rest = 16 << 20, figures = 56, parameter = 16, summing_up = 120;
constexpr std::size_t fewest = 100;        // draws that make a fit
constexpr std::size_t most_of_loo = 1000;  // draws per chain that a LOO looks at

std::uint64_t dimension(const LinkData& data, const Mechanism& mechanism) {
  return mechanism.parameters().size() + data.confounders.size() + has_noise(data.family);
}

std::uint64_t draws_of_a_round(const FitSettings& settings) {
  return settings.chains * settings.draws;
}

// A fit that fails its checks is run again with twice as many.
std::uint64_t draws_of_a_fit(const FitSettings& settings) {
  return draws_of_a_round(settings) * (settings.rounds > 1 ? 2 : 1);
}

// A sampler as bytes, without draws: its options, chains, and a metric (dense up to 64 parameters).
std::uint64_t sampler_bytes(std::uint64_t dimension, std::uint64_t chains) {
  const std::uint64_t metric = dimension <= 64 ? dimension * dimension : dimension;
  return 512 + chains * (80 + 16 * dimension) + 32 * metric + 8 * dimension;
}

std::uint64_t text_bytes(const LinkData& data, const std::vector<Mechanism>& candidates,
                         const FitSettings& settings) {
  constexpr std::uint64_t frame = 4096, record = 256, field = 64;
  std::uint64_t bytes = frame + data.name.size() + data.cause.size() + data.effect.size() +
                        data.cause_unit.size() + data.effect_unit.size() +
                        settings.checkpoint_folder.size();
  for (const auto& name : data.confounder_names) bytes += field + name.size();
  for (const auto& m : candidates) {
    bytes += record + m.name().size() + m.record().derived.size();
    for (const auto& p : m.parameters()) bytes += field + p.name.size();
  }
  return bytes;
}

// What the judge of a split link is sent: a warm-up and all chains of each round, of which the
// second has twice the draws of the first.
ByteSize samples_sent(const LinkData& data, const std::vector<Mechanism>& candidates,
                      const FitSettings& settings) {
  const std::uint64_t rounds = settings.rounds > 1 ? 2 : 1;
  const std::uint64_t draws = draws_of_a_round(settings) + (rounds - 1) * draws_of_a_fit(settings);
  ByteSize bytes(0);
  for (const auto& m : candidates) {
    const std::uint64_t d = dimension(data, m);
    bytes += ByteSize(figures + sizeof(double) * d) * draws;
    bytes += ByteSize(sampler_bytes(d, settings.chains)) * ((1 + settings.chains) * rounds);
  }
  return bytes;
}

// A report: draws that are kept, LOOs, figures. It stands behind what its worker was sent.
ByteSize report_needed(const LinkData& data, const std::vector<Mechanism>& candidates,
                       const FitSettings& settings) {
  constexpr std::uint64_t fit = 2048, row_of_loo = 2 * sizeof(double);
  const std::uint64_t loos = settings.loo == LooOf::all             ? candidates.size()
                             : settings.loo == LooOf::best_and_null ? 2
                                                                    : 0;
  ByteSize bytes(data.x.size() * row_of_loo * loos), all(0), largest(0);
  for (const auto& m : candidates) {
    const std::uint64_t d = dimension(data, m);
    const ByteSize draws = ByteSize(figures + sizeof(double) * d) * draws_of_a_fit(settings);
    all += draws;
    largest = std::max(largest, draws);
    bytes += ByteSize(fit) + ByteSize(sampler_bytes(d, settings.chains)) * settings.chains;
  }
  if (settings.keep == KeepDraws::none) return bytes;
  return bytes + (settings.keep == KeepDraws::all ? all : largest);
}

ByteSize message_needed(const LinkData& data, const std::vector<Mechanism>& candidates,
                        const FitSettings& settings, bool may_split) {
  const std::uint64_t columns = 2 + data.confounders.size();
  const ByteSize sent = may_split ? samples_sent(data, candidates, settings) : ByteSize(0);
  return ByteSize(text_bytes(data, candidates, settings)) +
         ByteSize(data.x.size() * columns * sizeof(double)) + sent +
         report_needed(data, candidates, settings);
}

// The largest number of draws for which `needed` stays within `limit`: it grows linearly with them.
template <class Needed>
std::size_t most_draws(FitSettings settings, ByteSize limit, const Needed& needed) {
  std::size_t low = 0, high = settings.draws;
  while (low < high) {
    settings.draws = low + (high - low + 1) / 2;
    if (needed(settings) <= limit)
      low = settings.draws;
    else
      high = settings.draws - 1;
  }
  return low;
}

}  // namespace

ByteSize memory_needed(const LinkData& data, const std::vector<Mechanism>& candidates,
                       const FitSettings& settings) {
  const std::uint64_t draws = draws_of_a_fit(settings), rows = data.x.size();
  const std::uint64_t columns = 2 + data.confounders.size();
  ByteSize bytes =
      ByteSize(at_rest) + ByteSize(rows * columns * sizeof(double)) * (3 + candidates.size());
  for (const auto& m : candidates)
    bytes += ByteSize(figures + parameter * dimension(data, m)) * draws;
  // The first round's draws are there until the second round's are all.
  if (settings.rounds > 1)
    bytes += ByteSize(figures * candidates.size()) * draws_of_a_round(settings);
  ByteSize last = ByteSize(summing_up) * draws;
  if (settings.loo != LooOf::none)
    last = std::max(last, ByteSize(rows * sizeof(double)) * settings.chains *
                              std::min(settings.draws, most_of_loo));
  return bytes + last;
}

Job::Job(const CausalLink& link, const InferOptions& options)
    : data(checked(link)),
      candidates(candidates_for(data, options.candidates)),
      settings(options),
      memory(options.memory),
      retries(options.retries),
      split(options.split),
      draws_asked(options.draws) {
  if (auto fault = find_fault(settings)) throw ConfigError("InferOptions: " + *fault);
  for (const auto& m : candidates) records.push_back(m.record());
}

void Job::limit(const ResourceConfig& pool) {
  const bool as_many_as_possible = settings.deadline.count() > 0;
  if (!as_many_as_possible) settings.deadline = pool.worker_timeout * 3 / 5;
  if (pool.isolation != Isolation::process) return;  // no limit is enforced there
  const ByteSize limit =
      memory.bytes() > 0 ? std::min(memory, pool.worker_memory) : pool.worker_memory;
  const auto in_memory = [&](const FitSettings& s) { return memory_needed(data, candidates, s); };
  const auto in_message = [&](const FitSettings& s) {
    return message_needed(data, candidates, s, may_split());
  };
  const std::size_t most = std::min(most_draws(settings, limit, in_memory),
                                    most_draws(settings, pool.message_max, in_message));
  if (most >= settings.draws) return;
  if (most < fewest) {
    FitSettings least = settings;
    least.draws = fewest;
    throw ConfigError(fmt::format(
        "link '{}' needs about {} in its worker, even with {} draws in each of {} chains of {} "
        "candidates on {} rows; the limit is {} (messages: {} of {}): raise it, or set loo = none, "
        "fewer candidates or fewer rows",
        data.name, to_string(in_memory(least)), fewest, settings.chains, candidates.size(),
        data.x.size(), to_string(limit), to_string(in_message(least)),
        to_string(pool.message_max)));
  }
  if (!as_many_as_possible)
    throw ConfigError(fmt::format(
        "InferOptions: draws is {}: in each of {} chains of {} candidates they need about {} in a "
        "worker, and the limit is {} (messages: {} of {}); give at most {}{}, or a deadline: then "
        "there are as many as time and memory allow",
        settings.draws, settings.chains, candidates.size(), to_string(in_memory(settings)),
        to_string(limit), to_string(in_message(settings)), to_string(pool.message_max), most,
        settings.loo != LooOf::none ? " (more with loo = none)" : ""));
  settings.draws = most;
}

void rethrow_as_here(const RemoteError& error) {
  if (error.type() == "reeve::ConfigError") throw ConfigError(error.chain().front().what);
  throw;
}

InferenceResult result_of(const Job& job, LinkReport report, const WorkerLease& worker) {
  for (FitReport& fit : report.fits)
    if (job.settings.draws < job.draws_asked &&
        fit.diagnostics.draws >= job.settings.draws * job.settings.chains)
      fit.reasons.push_back(
          fmt::format("ended at {} of {} draws per chain: there is no memory "
                      "for more",
                      fit.diagnostics.draws / job.settings.chains, job.draws_asked));
  InferenceResult result(job.data, job.candidates, std::move(report));
  result.device = worker.device();
  result.worker = worker.id();
  return result;
}

}  // namespace reeve::inference
