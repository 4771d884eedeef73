// A machine on which nothing happens: only the slots decide.
#pragma once

#include <memory>
#include <reeve/limits.hpp>

namespace reeve::limits::testing {

struct QuietProbe final : UsageProbe {
  Sample sample() override { return {}; }
};

inline LimiterConfig quiet(int tasks) {
  LimiterConfig config;
  config.probe = std::make_shared<QuietProbe>();
  config.limits.max_concurrent_tasks = tasks;
  return config;
}

}  // namespace reeve::limits::testing
