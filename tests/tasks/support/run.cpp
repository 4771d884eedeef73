// Temporary directories.
#include "tests/tasks/support/run.hpp"

#include <cstdlib>
#include <stdexcept>

namespace reeve::tasks::testing {

TempDir::TempDir() {
  std::string pattern = (std::filesystem::temp_directory_path() / "reeve-tasks-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
  path_ = pattern;
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::permissions(path_, std::filesystem::perms::owner_all, ignored);
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace reeve::tasks::testing
