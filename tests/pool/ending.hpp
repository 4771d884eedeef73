// How something ended that was started beside the test.
#pragma once

#include <exception>

namespace reeve::test {

struct Ending {
  bool known = false;
  std::exception_ptr failure;
  auto note() {
    return [this](std::exception_ptr e) {
      known = true;
      failure = e;
    };
  }
  void rethrow() const {
    if (failure) std::rethrow_exception(failure);
  }
};

}  // namespace reeve::test
