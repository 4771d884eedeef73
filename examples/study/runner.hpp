// The seam between the study and whoever does its work.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "bootstrap.hpp"
#include "cases.hpp"
#include "checks.hpp"
#include "links.hpp"
#include "status_line.hpp"

namespace study {

/// How much work, and in which portions.
struct Plan {
  int resamples = 10000;  // per case
  int chunk = 1000;       // resamples in one task
  std::uint64_t seed = 1;
};

struct CaseResult {
  BootstrapResult bootstrap;
  double seconds = 0;
  std::string worker;  // who did it
};

struct RunReport {
  std::vector<CaseResult> cases;                         // in the order of the cases asked for
  std::vector<reeve::inference::InferenceResult> links;  // in the order of the links asked for
  std::vector<std::string>
      notes;  // about the tasks that misbehave, and the audit; printed as they are
};

/// A way to run the study. `run` also runs the tasks that misbehave, where it can survive them, and
/// adds a check for each.
struct Runner {
  std::string name;
  RunReport (*run)(std::span<const Case> cases, std::span<const LinkCase> links, const Plan& plan,
                   StatusLine& status, CheckList& checks) = nullptr;
};

/// Everything in this process, one case after the other; the tasks that misbehave are left out.
Runner local_runner();

}  // namespace study
