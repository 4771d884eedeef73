// The second translation unit of the identity tests.
#include "tests/codec/support/shared_tasks.hpp"

namespace reeve::codec::test {

const TaskDescriptor& header_lambda_in_second_unit() {
  return CallTraits<decltype(header_lambda), int>::descriptor();
}

const TaskDescriptor& own_lambda_in_second_unit() {
  constexpr auto own = [](int x) { return x + 1; };
  return CallTraits<decltype(own), int>::descriptor();
}

}  // namespace reeve::codec::test
