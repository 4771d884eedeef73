// Round trips of nested types, views without copies, and what damaged bytes may do: throw, nothing
// else.
#include <reeve/base/byte_size.hpp>
#include <reeve/codec/codec.hpp>

#include <chrono>
#include <complex>
#include <deque>
#include <limits>
#include <set>
#include <unordered_map>

#include "tests/support/pch.hpp"

namespace reeve::codec {
namespace {

enum class Color : std::uint16_t { red = 1, blue = 9 };
struct Point {
  double x = 0, y = 0;
  bool operator==(const Point&) const = default;
};
struct Plain {
  bool flag = false;
  char name[16] = {};
  int grid[2][3] = {};
  std::array<Point, 2> points{};
  std::chrono::milliseconds time{};
  std::complex<float> z{};
  Color color = Color::red;
};
struct Tree {
  int value = 0;
  std::vector<Tree> children;
  bool operator==(const Tree&) const = default;
};
struct Record {
  std::string name;
  std::vector<Point> points;
  std::map<std::string, std::vector<std::optional<int>>> index;
  std::variant<std::monostate, int, std::string> choice;
  std::tuple<bool, std::pair<char, std::string>> pair;
  std::vector<bool> bits;
  std::deque<std::string> queue;
  std::set<int> set;
  std::array<std::string, 2> names;
  Tree tree;
  bool operator==(const Record&) const = default;
};
struct NoDefault {
  explicit NoDefault(int v) : value(v) {}
  int value;
};
struct HasNoDefault {
  std::string name;
  NoDefault part;
};

}  // namespace
}  // namespace reeve::codec

template <>
struct reeve::codec::Codec<reeve::codec::NoDefault> {
  static void encode(Writer& writer, const NoDefault& v) { reeve::codec::encode(writer, v.value); }
  static NoDefault decode(Reader& reader) { return NoDefault{reeve::codec::decode<int>(reader)}; }
};

namespace reeve::codec {
namespace {

struct HoldsPointer {
  int* pointer;
};
struct HoldsView {
  std::string_view text;
};
class Private {
 public:
  int value() const { return value_; }

 private:
  int value_ = 0;
};
struct Derived : Point {
  int extra;
};

static_assert(Result<Plain> && Result<Record> && Result<Tree> && Result<HasNoDefault> &&
              Result<ByteSize>);
static_assert(Result<std::unique_ptr<Record>> && Result<std::unordered_map<int, Tree>>);
static_assert(Result<std::chrono::system_clock::time_point>);
static_assert(!Result<int*> && !Argument<int*> && !Argument<const char*> &&
              !Argument<std::nullptr_t>);
static_assert(!Result<int&> && !Argument<int&>, "references have no byte form");
static_assert(!Argument<HoldsPointer> && !Argument<std::vector<HoldsPointer>>,
              "pointers are found inside aggregates");
static_assert(!Argument<void (*)()> && !Argument<std::shared_ptr<int>>);
static_assert(!Argument<Private>,
              "private members cannot be seen: is_plain or Codec says what they are");
static_assert(!Argument<Derived>, "fields of bases are not visited");
static_assert(Argument<std::span<const double>> && !Argument<std::span<double>>);
static_assert(!Result<std::span<const double>> && !Result<std::string_view> && !Result<HoldsView>);
static_assert(Argument<HoldsView> && !Result<std::vector<std::string_view>>);
static_assert(type_hash<int, double>() != type_hash<double, int>() &&
              type_hash<int>() == type_hash<int>());

template <class T>
T round_trip(const T& value) {
  OwnedBuffer buffer(1);
  encode(buffer.writer(), std::uint8_t{7}, value);
  Reader reader(buffer.bytes());
  EXPECT_EQ(decode<std::uint8_t>(reader), 7);
  T result = decode<T>(reader);
  reader.finish();
  return result;
}

Tree tree_of(const std::vector<int>& values) {
  Tree root;
  for (const int v : values) root.children.push_back(Tree{v, {Tree{v + 1, {}}}});
  return root;
}

Record arbitrary_record() {
  Record r;
  r.name = *rc::gen::arbitrary<std::string>();
  for (const auto& [x, y] : *rc::gen::arbitrary<std::vector<std::pair<int, int>>>()) {
    r.points.push_back(Point{static_cast<double>(x), static_cast<double>(y)});
  }
  for (const auto& [key, values] : *rc::gen::arbitrary<std::map<std::string, std::vector<int>>>()) {
    for (const int v : values)
      r.index[key].push_back(v % 2 == 0 ? std::optional<int>{v} : std::nullopt);
  }
  if (*rc::gen::arbitrary<bool>()) r.choice = *rc::gen::arbitrary<std::string>();
  r.pair = {*rc::gen::arbitrary<bool>(), {'c', *rc::gen::arbitrary<std::string>()}};
  r.bits = *rc::gen::arbitrary<std::vector<bool>>();
  r.queue = *rc::gen::arbitrary<std::deque<std::string>>();
  r.set = *rc::gen::arbitrary<std::set<int>>();
  r.names = {*rc::gen::arbitrary<std::string>(), "second"};
  r.tree = tree_of(*rc::gen::arbitrary<std::vector<int>>());
  return r;
}

RC_GTEST_PROP(Codec, nested_values_come_back_equal, ()) {
  const Record r = arbitrary_record();
  RC_ASSERT(round_trip(r) == r);
}

TEST(Codec, plain_values_come_back_equal) {
  EXPECT_EQ(round_trip(std::numeric_limits<long double>::max()),
            std::numeric_limits<long double>::max());
  EXPECT_EQ(round_trip(Color::blue), Color::blue);
  EXPECT_EQ(round_trip(3_GiB), 3_GiB);
  const auto now = std::chrono::system_clock::now();
  EXPECT_EQ(round_trip(now), now);
  const Plain p = round_trip(
      Plain{true, "reeve", {{1, 2, 3}, {4, 5, 6}}, {{{1, 2}, {3, 4}}}, {}, {1, 2}, Color::blue});
  EXPECT_TRUE(p.flag);
  EXPECT_STREQ(p.name, "reeve");
  EXPECT_EQ(p.grid[1][2], 6);
  EXPECT_EQ(p.points[1].y, 4);
  EXPECT_EQ(round_trip(HasNoDefault{"n", NoDefault{5}}).part.value, 5);
  EXPECT_EQ(*round_trip(std::make_unique<std::string>("owned")), "owned");
  EXPECT_EQ(round_trip(std::unique_ptr<int>{}), nullptr);
  EXPECT_EQ(round_trip(std::unordered_map<int, std::string>{{1, "a"}, {2, "b"}}).at(2), "b");
  EXPECT_EQ(round_trip(std::tuple<>{}), std::tuple<>{});
}

TEST(Codec, spans_and_string_views_are_views_into_the_message) {
  const std::vector<double> values{1, 2, 3};
  OwnedBuffer buffer;
  encode(buffer.writer(), 'x', std::span<const double>(values), std::string_view("text"));
  Reader reader(buffer.bytes());
  EXPECT_EQ(decode<char>(reader), 'x');
  const auto view = decode<std::span<const double>>(reader);
  EXPECT_THAT(std::vector<double>(view.begin(), view.end()), testing::ElementsAre(1, 2, 3));
  const auto* at = reinterpret_cast<const std::byte*>(view.data());
  EXPECT_TRUE(at >= buffer.bytes().data() && at < buffer.bytes().data() + buffer.bytes().size());
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(at) % alignof(double), 0u);
  EXPECT_EQ(decode<std::string_view>(reader), "text");
}

TEST(Codec, data_in_the_shared_window_travel_as_offset_and_length) {
  alignas(64) static double window[1000] = {};
  window[17] = 4.5;
  const auto bytes = std::as_bytes(std::span(window));
  OwnedBuffer buffer;
  buffer.writer().set_shared(bytes);
  encode(buffer.writer(), std::span<const double>(window + 10, 900));
  EXPECT_EQ(buffer.bytes().size(), 17u) << "nothing is copied";
  Reader reader(buffer.bytes());
  reader.set_shared(bytes);
  const auto view = decode<std::span<const double>>(reader);
  EXPECT_EQ(view.data(), window + 10);
  EXPECT_EQ(view.size(), 900u);
  EXPECT_EQ(view[7], 4.5);
  Reader without(buffer.bytes());
  EXPECT_THROW(decode<std::span<const double>>(without), DecodeError) << "no window, no view";
  Reader smaller(buffer.bytes());
  smaller.set_shared(bytes.first(909 * sizeof(double)));
  EXPECT_THROW(decode<std::span<const double>>(smaller), DecodeError);
}

TEST(Codec, an_announced_length_is_checked_before_anything_is_allocated) {
  OwnedBuffer buffer;
  encode(buffer.writer(), std::uint64_t{1} << 60);
  const auto refuses = [&]<class T>(const T*) {
    Reader reader(buffer.bytes());
    EXPECT_THROW(decode<T>(reader), DecodeError);
  };
  refuses(static_cast<std::string*>(nullptr));
  refuses(static_cast<std::vector<double>*>(nullptr));
  refuses(static_cast<std::vector<std::tuple<>>*>(nullptr));
  refuses(static_cast<std::vector<Tree>*>(nullptr));
  refuses(static_cast<std::map<int, int>*>(nullptr));
  refuses(static_cast<std::vector<bool>*>(nullptr));
}

TEST(Codec, nesting_is_bounded_on_both_sides) {
  Tree deep;
  for (int i = 0; i < 2 * depth_max; ++i) {
    Tree parent;
    parent.children.push_back(std::move(deep));
    deep = std::move(parent);
  }
  OwnedBuffer buffer;
  EXPECT_THROW(encode(buffer.writer(), deep), EncodeError);
  OwnedBuffer hostile;
  for (int i = 0; i < 10'000; ++i) encode(hostile.writer(), std::uint32_t{0}, std::uint64_t{1});
  Reader reader(hostile.bytes());
  EXPECT_THROW(decode<Tree>(reader), DecodeError);
}

TEST(Codec, a_bool_that_is_neither_true_nor_false_is_refused) {
  OwnedBuffer buffer;
  encode(buffer.writer(), std::uint8_t{2});
  Reader reader(buffer.bytes());
  EXPECT_THROW(decode<bool>(reader), DecodeError);
  OwnedBuffer plain;
  encode(plain.writer(), Plain{});
  std::vector<std::byte> bytes(plain.bytes().begin(), plain.bytes().end());
  bytes[0] = std::byte{0xff};
  Reader damaged(bytes);
  EXPECT_THROW(decode<Plain>(damaged), DecodeError);
}

RC_GTEST_PROP(Codec, truncated_messages_throw_decode_error, ()) {
  OwnedBuffer buffer;
  encode(buffer.writer(), arbitrary_record());
  const auto cut = *rc::gen::inRange<std::size_t>(0, buffer.bytes().size());
  Reader reader(buffer.bytes().first(cut));
  RC_ASSERT_THROWS_AS(decode<Record>(reader), DecodeError);
}

RC_GTEST_PROP(Codec, damaged_messages_decode_or_throw_and_never_over_allocate, ()) {
  using All = std::tuple<Record, Plain, std::unique_ptr<Tree>, std::span<const Point>, HoldsView>;
  OwnedBuffer buffer;
  const Point points[3] = {};
  encode(buffer.writer(), arbitrary_record(), Plain{}, std::make_unique<Tree>(),
         std::span<const Point>(points), HoldsView{"view"});
  OwnedBuffer copy;
  copy.writer().write(buffer.bytes().data(), buffer.bytes().size());
  auto* bytes = const_cast<std::byte*>(copy.bytes().data());
  for (int i = 0; i < 60; ++i) {
    const auto at = *rc::gen::inRange<std::size_t>(0, copy.bytes().size());
    const auto old = bytes[at];
    bytes[at] ^= std::byte{1} << *rc::gen::inRange(0, 8);
    try {
      Reader reader(copy.bytes());
      const auto value = decode<All>(reader);
      RC_ASSERT(std::get<0>(value).points.size() * sizeof(Point) <= copy.bytes().size());
    } catch (const DecodeError&) {
    }
    if (i % 2 == 0) bytes[at] = old;
  }
}

}  // namespace
}  // namespace reeve::codec
