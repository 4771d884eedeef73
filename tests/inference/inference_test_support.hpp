// What the tests of inference share.
#pragma once

#include <reeve/inference.hpp>

#include "tests/support/pch.hpp"
#include "tests/support/simulated_links.hpp"

namespace reeve::inference::test {

/// Options that are quick: two candidates.
inline InferOptions quick() {
  InferOptions options;
  options.candidates = {null(), linear()};
  options.rounds = 1;
  return options;
}

/// The text of the E that `body` throws.
template <class E, class F>
std::string text_of(F body) {
  try {
    body();
  } catch (const E& error) {
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

}  // namespace reeve::inference::test
