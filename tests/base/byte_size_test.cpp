// ByteSize: saturation and text.
#include <reeve/base/byte_size.hpp>

#include "tests/support/pch.hpp"

namespace reeve {
namespace {

TEST(ByteSize, text_uses_binary_units_with_at_most_one_decimal) {
  EXPECT_EQ(to_string(0_B), "0 B");
  EXPECT_EQ(to_string(1023_B), "1023 B");
  EXPECT_EQ(to_string(1_KiB), "1 KiB");
  EXPECT_EQ(to_string(ByteSize{1536}), "1.5 KiB");
  EXPECT_EQ(to_string(2_GiB), "2 GiB");
  EXPECT_EQ(to_string(ByteSize::max()), "16 EiB");
}

RC_GTEST_PROP(ByteSize, arithmetic_saturates_and_never_wraps, (std::uint64_t a, std::uint64_t b)) {
  const ByteSize x{a}, y{b};
  RC_ASSERT(x + y >= x);
  RC_ASSERT(x - y <= x);
  if (b != 0) RC_ASSERT(x * b >= x);
}

}  // namespace
}  // namespace reeve
