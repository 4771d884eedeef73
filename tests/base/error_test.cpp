// SystemError names call and errno text.
#include <reeve/base/error.hpp>

#include <cerrno>

#include "tests/support/pch.hpp"

namespace reeve {
namespace {

TEST(SystemError, names_the_call_and_the_errno_text) {
  const SystemError error(ENOENT, "open(/nowhere)");
  EXPECT_STREQ(error.what(), "open(/nowhere): No such file or directory");
  EXPECT_EQ(error.code(), ENOENT);
}

TEST(SystemError, throw_errno_takes_the_current_errno) {
  errno = EMFILE;
  try {
    throw_errno("pipe2");
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), ::testing::HasSubstr("pipe2: Too many open files"));
    return;
  }
  FAIL() << "throw_errno returned";
}

}  // namespace
}  // namespace reeve
