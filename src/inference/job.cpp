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

// A fit that fails its checks is run again with twice as many.
std::uint64_t draws_of_a_fit(const FitSettings& settings) {
  return settings.chains * settings.draws * (settings.rounds > 1 ? 2 : 1);
}

// The largest message: what the judge of a split link is sent, which is more than a report.
ByteSize message_needed(const LinkData& data, const std::vector<Mechanism>& candidates,
                        const FitSettings& settings) {
  ByteSize bytes(data.x.size() * (2 + data.confounders.size()) * sizeof(double));
  for (const auto& m : candidates)
    bytes += ByteSize(figures + sizeof(double) * dimension(data, m)) * draws_of_a_fit(settings);
  return bytes;
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
  const auto in_message = [&](const FitSettings& s) { return message_needed(data, candidates, s); };
  const std::size_t most = std::min(most_draws(settings, limit, in_memory),
                                    most_draws(settings, pool.message_max, in_message));
  if (most >= settings.draws) return;
  if (most < fewest) {
    FitSettings least = settings;
    least.draws = fewest;
    throw ConfigError(fmt::format(
        "link '{}' needs about {} in its worker, even with {} draws in each of {} chains of {} "
        "candidates on {} rows; the limit is {} (messages: {}): raise it, or set loo = none, fewer "
        "candidates or fewer rows",
        data.name, to_string(in_memory(least)), fewest, settings.chains, candidates.size(),
        data.x.size(), to_string(limit), to_string(pool.message_max)));
  }
  if (!as_many_as_possible)
    throw ConfigError(fmt::format(
        "InferOptions: draws is {}: in each of {} chains of {} candidates they need about {} in a "
        "worker, and the limit is {} (messages: {}); give at most {}{}, or a deadline: then "
        "there are as many as time and memory allow",
        settings.draws, settings.chains, candidates.size(), to_string(in_memory(settings)),
        to_string(limit), to_string(pool.message_max), most,
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
