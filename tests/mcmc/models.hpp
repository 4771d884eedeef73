// The eight posteriors of posteriordb as densities, with readers for their data and references.
#pragma once

#include <reeve/mcmc/density.hpp>

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace reeve::mcmc::testing {

using DataSet = std::map<std::string, std::vector<double>>;

/// The folder of the reference posteriors: $REEVE_DATA_DIR/posteriordb, or nothing.
std::optional<std::string> posteriordb();
/// The numbers of a flat JSON object: scalars and arrays.
DataSet read_data(const std::string& path);

struct Reference {
  double mean, sd, mean_square, sd_square, q5, q95;
};
std::map<std::string, Reference> read_reference(const std::string& path);

struct Posterior {
  const char *name, *data, *summary;
  Density (*make)(const DataSet&);
};
const std::vector<Posterior>& posteriors();

Density eight_schools_centered(const DataSet& data);
Density funnel();

}  // namespace reeve::mcmc::testing
