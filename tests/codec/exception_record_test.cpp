// Exceptions through bytes: texts, nesting, standard types, and no memory.
#include <reeve/codec/exception_record.hpp>

#include <system_error>

#include "tests/support/pch.hpp"

namespace reeve::codec {
namespace {

struct Custom : std::runtime_error {
  using std::runtime_error::runtime_error;
};

ExceptionRecord through_bytes(const std::exception_ptr& error) {
  OwnedBuffer direct, recorded;
  encode_exception(direct.writer(), error);
  encode(recorded.writer(), capture(error));
  EXPECT_TRUE(std::equal(direct.bytes().begin(), direct.bytes().end(), recorded.bytes().begin(),
                         recorded.bytes().end()))
      << "both ways write the same bytes";
  Reader reader(direct.bytes());
  auto record = decode<ExceptionRecord>(reader);
  reader.finish();
  return record;
}

template <class E>
void expect_same_type(const E& error) {
  const auto record = through_bytes(std::make_exception_ptr(error));
  const auto again = make_standard(record);
  ASSERT_NE(again, nullptr) << record.type();
  try {
    std::rethrow_exception(again);
  } catch (const std::exception& e) {
    EXPECT_EQ(typeid(e), typeid(E));
    EXPECT_STREQ(e.what(), error.what());
  }
}

TEST(ExceptionRecord, standard_types_come_back_as_themselves) {
  expect_same_type(std::runtime_error("r"));
  expect_same_type(std::logic_error("l"));
  expect_same_type(std::invalid_argument("i"));
  expect_same_type(std::domain_error("d"));
  expect_same_type(std::length_error("l"));
  expect_same_type(std::out_of_range("o"));
  expect_same_type(std::range_error("r"));
  expect_same_type(std::overflow_error("o"));
  expect_same_type(std::underflow_error("u"));
  expect_same_type(std::bad_alloc());
  expect_same_type(std::bad_variant_access());
  expect_same_type(std::bad_optional_access());
  expect_same_type(std::bad_cast());
  expect_same_type(std::bad_function_call());
  expect_same_type(std::bad_weak_ptr());
  expect_same_type(
      std::system_error(std::make_error_code(std::errc::no_such_file_or_directory), "open(x)"));
  expect_same_type(std::system_error(5, std::system_category()));
}

TEST(ExceptionRecord, codes_of_system_errors_cross) {
  const auto record =
      through_bytes(std::make_exception_ptr(std::system_error(13, std::system_category(), "t")));
  try {
    std::rethrow_exception(make_standard(record));
  } catch (const std::system_error& e) {
    EXPECT_EQ(e.code(), std::error_code(13, std::system_category()));
  }
}

TEST(ExceptionRecord, other_types_keep_name_and_text) {
  const auto record = through_bytes(std::make_exception_ptr(Custom("mine")));
  EXPECT_THAT(record.type(), testing::EndsWith("Custom"));
  EXPECT_EQ(record.what(), "mine");
  EXPECT_EQ(make_standard(record), nullptr) << "only the exact type comes back";
  EXPECT_EQ(through_bytes(std::make_exception_ptr(42)).what(), "42");
  EXPECT_EQ(through_bytes(std::make_exception_ptr(std::string("text"))).what(), "text");
  EXPECT_EQ(through_bytes(std::make_exception_ptr(2.5)).type(), "double");
  EXPECT_TRUE(capture(nullptr).levels.empty());
}

void throw_nested(int depth) {
  try {
    if (depth == 0) throw std::out_of_range("innermost");
    throw_nested(depth - 1);
  } catch (...) {
    std::throw_with_nested(std::runtime_error("level " + std::to_string(depth)));
  }
}
std::exception_ptr nested(int depth) {
  try {
    throw_nested(depth);
  } catch (...) {
    return std::current_exception();
  }
  return nullptr;
}

TEST(ExceptionRecord, nested_exceptions_cross_outermost_first) {
  const auto record = through_bytes(nested(1));
  ASSERT_EQ(record.levels.size(), 3u);
  EXPECT_EQ(record.levels[0].type, "std::runtime_error");
  EXPECT_EQ(record.levels[0].what, "level 1");
  EXPECT_EQ(record.levels[2].type, "std::out_of_range");
  EXPECT_EQ(record.levels[2].what, "innermost");
  EXPECT_FALSE(record.truncated);
  EXPECT_EQ(make_standard(record), nullptr);
}

TEST(ExceptionRecord, long_chains_and_texts_are_cut_and_say_so) {
  const auto deep = through_bytes(nested(100));
  EXPECT_EQ(deep.levels.size(), exception_levels_max);
  EXPECT_TRUE(deep.truncated);
  const auto wide =
      through_bytes(std::make_exception_ptr(std::runtime_error(std::string(1 << 20, 'x'))));
  EXPECT_EQ(wide.what().size(), exception_text_max);
  EXPECT_TRUE(wide.truncated);
}

RC_GTEST_PROP(ExceptionRecord, damaged_records_throw_decode_error_or_decode,
              (std::size_t at, unsigned char bit)) {
  OwnedBuffer buffer;
  encode_exception(buffer.writer(), nested(2));
  auto* bytes = const_cast<std::byte*>(buffer.bytes().data());
  bytes[at % buffer.bytes().size()] ^= std::byte{1} << (bit % 8);
  Reader reader(buffer.bytes());
  try {
    const auto record = decode<ExceptionRecord>(reader);
    RC_ASSERT(record.levels.size() <= exception_levels_max);
  } catch (const DecodeError&) {
  }
}

TEST(ExceptionRecord, encode_exception_needs_no_memory_but_the_writers_area) {
  alignas(64) std::byte area[4096];
  Writer writer({area, sizeof area}, nullptr, nullptr);
  encode_exception(writer, std::make_exception_ptr(std::bad_alloc()));
  Reader reader(writer.bytes());
  EXPECT_EQ(decode<ExceptionRecord>(reader).levels.at(0).standard, StandardException::bad_alloc);
}

}  // namespace
}  // namespace reeve::codec
