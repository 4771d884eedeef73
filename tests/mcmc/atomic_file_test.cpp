// A file is replaced whole, and what cannot be written says so.
#include <reeve/base/error.hpp>
#include <reeve/mcmc/atomic_file.hpp>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/support/pch.hpp"

namespace reeve::mcmc {
namespace {

std::string content(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(AtomicFile, replaces_the_whole_and_leaves_nothing_beside) {
  const auto folder =
      std::filesystem::temp_directory_path() / ("reeve_atomic_" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  const auto path = folder / "file";
  const std::string large(3'000'000, 'x');
  for (const std::string& bytes : {std::string("first\0second", 12), large, std::string()}) {
    replace_file(path.string(), bytes);
    EXPECT_TRUE(content(path) == bytes);
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1);
  }
  EXPECT_THROW(replace_file((folder / "absent" / "file").string(), "x"), Error);
  std::filesystem::create_directories(folder / "taken" / "full");
  EXPECT_THROW(replace_file((folder / "taken").string(), "x"), Error);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace reeve::mcmc
