// Writer growth and alignment; Reader bounds.
#include <reeve/codec/buffer.hpp>

#include "tests/support/pch.hpp"

namespace reeve::codec {
namespace {

TEST(Buffer, growth_keeps_content_and_alignment_pads_with_zeros) {
  OwnedBuffer buffer(1);
  const char c = 'a';
  for (int i = 0; i < 100; ++i) {
    buffer.writer().write(&c, 1);
    buffer.writer().align(16);
    EXPECT_EQ(buffer.writer().size() % 16, 0u);
  }
  for (std::size_t i = 0; i < buffer.bytes().size(); ++i) {
    EXPECT_EQ(buffer.bytes()[i], i % 16 == 0 ? std::byte{'a'} : std::byte{0});
  }
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.bytes().data()) % area_alignment, 0u);
}

TEST(Buffer, an_area_that_cannot_grow_is_an_error) {
  alignas(64) std::byte area[8];
  Writer fixed({area, 8}, nullptr, nullptr);
  fixed.write_size(1);
  EXPECT_THROW(fixed.write("x", 1), EncodeError);
  EXPECT_EQ(fixed.size(), 8u) << "nothing was appended";
  Writer liar(
      {area, 8}, [](void* a, std::size_t) { return std::span(static_cast<std::byte*>(a), 8); },
      area);
  EXPECT_THROW(liar.reserve(9), EncodeError) << "an area smaller than asked for is refused";
  EXPECT_THROW(liar.reserve(~std::size_t{0}), EncodeError);
}

TEST(Buffer, sizes_can_be_patched_and_content_dropped) {
  OwnedBuffer buffer;
  buffer.writer().write_size(1);
  buffer.writer().write_size(2);
  buffer.writer().patch_size(0, 9);
  buffer.writer().truncate(8);
  Reader reader(buffer.bytes());
  EXPECT_EQ(reader.read_size(), 9u);
  reader.finish();
}

TEST(Buffer, every_read_is_checked) {
  const std::byte bytes[10] = {};
  Reader reader(bytes);
  EXPECT_THROW(reader.view(11), DecodeError);
  reader.view(9);
  EXPECT_THROW(reader.read_size(), DecodeError);
  EXPECT_THROW(reader.align(16), DecodeError);
  EXPECT_THROW(reader.finish(), DecodeError);
  EXPECT_EQ(reader.read_tag(), 0);
  EXPECT_THROW(reader.read_tag(), DecodeError);
  reader.finish();
}

TEST(Buffer, a_view_that_is_not_aligned_is_refused) {
  OwnedBuffer buffer;
  const std::uint8_t place = 0;
  buffer.writer().write(&place, 1);
  buffer.writer().write(&place, 1);
  buffer.writer().write_size(1);
  buffer.writer().align(8);
  buffer.writer().write_size(7);
  Reader shifted(buffer.bytes().subspan(1));
  EXPECT_THROW(shifted.read_view(8, 8), DecodeError);
}

// Large parts are copied past the caches, in whole lines: their ends and odd places are kept.
TEST(Buffer, large_parts_arrive_whole_wherever_they_begin_and_end) {
  std::vector<std::byte> source(detail::far_copy_min + 300);
  for (std::size_t i = 0; i < source.size(); ++i) source[i] = static_cast<std::byte>(i * 31 >> 3);
  for (std::size_t before = 0; before < 130; before += 13) {
    for (std::size_t size = detail::far_copy_min - 1; size < source.size() - 70; size += 29) {
      OwnedBuffer buffer;
      buffer.writer().write(source.data() + 1, before);
      buffer.writer().write(source.data() + before % 70, size);
      const std::uint8_t end = 0x5a;
      buffer.writer().write(&end, 1);
      const auto bytes = buffer.bytes();
      ASSERT_EQ(bytes.size(), before + size + 1);
      EXPECT_TRUE(std::ranges::equal(bytes.first(before), std::span(source).subspan(1, before)));
      EXPECT_TRUE(std::ranges::equal(bytes.subspan(before, size),
                                     std::span(source).subspan(before % 70, size)));
      EXPECT_EQ(bytes.back(), std::byte{0x5a});
    }
  }
}

}  // namespace
}  // namespace reeve::codec
