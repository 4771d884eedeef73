// The highest likelihood of a candidate, by climbing. Internal.
#pragma once

#include <optional>
#include <reeve/mcmc/density.hpp>

namespace reeve::inference {

/// The largest log likelihood at the maxima of the density, which are climbed to from 16 draws of
/// the priors. Nothing when more than two of the climbs end where no other does: then there may be
/// maxima that none has found. Nothing either without a gradient, or priors to draw from.
///
/// No marginal likelihood exceeds it by much: at a maximum of the posterior that is about normal,
/// the volume of the posterior is at most the priors' own.
///
/// Cost: some hundred gradients where climbs arrive, at most 50,000; no deadline ends it earlier.
std::optional<double> highest_likelihood(const mcmc::Density& density);

}  // namespace reeve::inference
