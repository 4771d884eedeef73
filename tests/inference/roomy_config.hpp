// A pool whose workers have room for fits, also under sanitizers.
#pragma once

#include "tests/pool/pool_test_support.hpp"

namespace reeve::inference::test {

inline ResourceConfig roomy_config() {
  using namespace reeve::literals;
  ResourceConfig config = reeve::test::small_config();
  if (reeve::test::sanitized) config.worker_memory = 2_GiB;  // shadow memory counts, too
  return config;
}

}  // namespace reeve::inference::test
