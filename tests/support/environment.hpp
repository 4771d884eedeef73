// Environment variables are read strictly: what every component that reads them must show.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <reeve/base/error.hpp>
#include <string>
#include <vector>

namespace reeve::test {

/// The first good value is the lower end of the range, the last one the upper end.
struct Variable {
  const char* name;
  std::vector<const char*> good, bad;
};

/// `read` accepts every good value, and refuses every bad one with a ConfigError that names the
/// variable, the value and the range.
template <class Read>
void expect_read_strictly(const std::vector<Variable>& variables, Read read) {
  using ::testing::HasSubstr;
  for (const auto& v : variables) {
    for (const char* text : v.good) {
      ::setenv(v.name, text, 1);
      EXPECT_NO_THROW(read()) << v.name << "=" << text;
    }
    for (const char* text : v.bad) {
      ::setenv(v.name, text, 1);
      try {
        read();
        ADD_FAILURE() << v.name << "='" << text << "' was accepted";
      } catch (const ConfigError& e) {
        EXPECT_THAT(e.what(), ::testing::StartsWith(std::string(v.name) + "='" + text + "'"));
        EXPECT_THAT(e.what(), HasSubstr(std::string("from ") + v.good.front()));
        EXPECT_THAT(e.what(), HasSubstr(std::string("to ") + v.good.back()));
      }
    }
    ::unsetenv(v.name);
  }
}

}  // namespace reeve::test
