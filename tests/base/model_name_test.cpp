// The names that models may have.
#include <reeve/base/error.hpp>
#include <reeve/base/model_name.hpp>

#include "tests/support/pch.hpp"

namespace reeve {
namespace {

std::string fault(const std::string& name) {
  try {
    check_model_name(name);
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "";
}

TEST(ModelName, HasOneTo256Bytes) {
  EXPECT_EQ(fault("x"), "");
  EXPECT_EQ(fault(std::string(256, 'x')), "");
  EXPECT_EQ(fault(""), "the model name '' has 0 bytes; give one of 1 to 256");
  EXPECT_EQ(fault(std::string(257, 'x')),
            "the model name '" + std::string(32, 'x') + "...' has 257 bytes; give one of 1 to 256");
}

}  // namespace
}  // namespace reeve
