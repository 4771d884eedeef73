// Where optional workload data lies.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

namespace reeve::alloc {

/// The path of `name` below REEVE_DATA_DIR/allocation (environment, else cache variable); empty if
/// absent.
inline std::string data_file(const std::string& name) {
  std::string root;
#ifdef REEVE_DATA_DIR
  root = REEVE_DATA_DIR;
#endif
  if (const char* env = std::getenv("REEVE_DATA_DIR")) root = env;
  const auto path = root + "/allocation/" + name;
  return !root.empty() && std::filesystem::exists(path) ? path : std::string();
}

}  // namespace reeve::alloc

#define REEVE_NEEDS_DATA(path) \
  if ((path).empty())          \
  GTEST_SKIP() << "workload data not found; set REEVE_DATA_DIR to the folder that holds it"
