// One link in this process: what a worker does, without a pool.
#pragma once

#include <reeve/inference/options.hpp>
#include <reeve/inference/result.hpp>
#include <stop_token>

namespace reeve::inference {

/// The candidates that are compared for this link: options.candidates, or the default ones that
/// suit the data (emax, hill and power need a cause that is never negative).
///
/// Errors: ConfigError for a repeated name, too few parameters declared, more parameters than rows,
///         or a mechanism that was asked for and cannot see these data.
std::vector<Mechanism> candidates_for(const LinkData& data, std::vector<Mechanism> asked);

/// Fits every candidate, compares them, and judges the evidence.
///
/// Errors:  ConfigError for a fault in the settings, or no candidates. What a mechanism throws
/// passes through. Cost:    about 10 ms for 5 mechanisms, 100 rows, and the default settings.
/// Threads: any; uses one.
LinkReport infer_link(const LinkData& data, const std::vector<Mechanism>& candidates,
                      const FitSettings& settings, std::stop_token stop = {});

/// The whole of it, in this process.
InferenceResult infer_here(const CausalLink& link, const InferOptions& options = {});

/// The density of one candidate on the standard scale, for samplers of your own.
mcmc::Density density_of(const LinkData& data, const Mechanism& mechanism);

}  // namespace reeve::inference
