// Events are small and fixed; short texts cut at characters; every kind and cause has its own name.
#include <reeve/audit/event.hpp>
#include <set>

namespace reeve::audit {
namespace {

TEST(AuditEvent, IsFixedAndTrivial) {
  static_assert(std::is_trivially_copyable_v<Event>);
  EXPECT_GE(sizeof(Event), 128u);
  EXPECT_LE(sizeof(Event), 192u);
}

TEST(AuditEvent, NamesAreDistinct) {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < event_kind_count; ++i) names.insert(to_string(EventKind(i)));
  EXPECT_EQ(names.size(), event_kind_count);
  names.clear();
  for (std::size_t i = 0; i < cause_count; ++i) names.insert(to_string(Cause(i)));
  EXPECT_EQ(names.size(), cause_count);
  EXPECT_EQ(to_string(EventKind(200)), "unknown");
  EXPECT_EQ(to_string(Cause(200)), "unknown");
}

TEST(AuditEvent, StampReadsBothClocks) {
  Event a;
  stamp(a);
  Event b;
  stamp(b);
  EXPECT_GT(a.monotonic_ns, 0);
  EXPECT_GE(b.monotonic_ns, a.monotonic_ns);
  EXPECT_GT(a.wall_ns, 1'600'000'000'000'000'000);
}

TEST(ShortText, KeepsWhatFits) {
  const ShortText<4> text("abcd");
  EXPECT_EQ(text.view(), "abcd");
  EXPECT_FALSE(text.truncated());
  EXPECT_EQ(ShortText<4>("").length(), 0u);
}

TEST(ShortText, CutsAtACharacter) {
  const ShortText<4> text("abc\xc3\xa9");  // the last character needs two bytes
  EXPECT_EQ(text.view(), "abc");
  EXPECT_TRUE(text.truncated());
  EXPECT_EQ(ShortText<4>("abcde").view(), "abcd");
  EXPECT_EQ(ShortText<4>("\xf0\x9f\x98\x80z").view(), "\xf0\x9f\x98\x80");
  EXPECT_LE(ShortText<4>("\x80\x80\x80\x80\x80\x80").length(), 4u);
}

}  // namespace
}  // namespace reeve::audit
