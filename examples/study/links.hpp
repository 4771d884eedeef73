// The causal links of the shipped data: their candidates, and what must come out.
#pragma once

#include <reeve/inference.hpp>
#include <string>
#include <vector>

#include "checks.hpp"
#include "table.hpp"

namespace study {

/// A parameter that R estimates, too: `estimate` with its standard error.
struct Anchor {
  std::string mechanism;
  std::string parameter;
  double estimate = 0;
  double error = 0;
};

struct LinkCase {
  reeve::inference::CausalLink link;
  std::vector<reeve::inference::Mechanism> candidates;
  std::string expected;      // the best mechanism
  double probability = 0.5;  // at least
  double effect_at_least = 0.95;
  double effect_at_most = 1;
  std::vector<Anchor> anchors;
};

/// The links of the CSV files in a folder. Errors: reeve::ConfigError.
std::vector<LinkCase> read_links(const std::string& folder);

reeve::inference::InferOptions options_of(const LinkCase& item);

/// Every figure that the case promises.
void check_link(CheckList& checks, const LinkCase& item,
                const reeve::inference::InferenceResult& result);

/// One row per link: mechanism, probability, strength, R-hat, ESS, time, worker, missing evidence.
Table link_table(const std::vector<reeve::inference::InferenceResult>& results);

}  // namespace study
