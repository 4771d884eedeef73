// The text of a timeout.
#include <reeve/async/with_timeout.hpp>

#include <fmt/format.h>

namespace reeve::async {

void throw_timeout(std::chrono::nanoseconds limit) {
  throw TimeoutError(fmt::format("the operation did not finish within {} ms and was cancelled",
                                 std::chrono::duration<double, std::milli>(limit).count()));
}

}  // namespace reeve::async
