// Writer growth, views, and the texts of encode and decode errors.
#include <reeve/codec/buffer.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <new>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace reeve::codec {
namespace detail {

void throw_truncated(std::size_t needed, std::size_t remaining) {
  throw DecodeError(
      fmt::format("message is truncated or damaged: the next value needs {} bytes, {} remain",
                  needed, remaining));
}

void throw_count(std::uint64_t count, std::size_t element_size, std::size_t remaining) {
  throw DecodeError(
      fmt::format("message is truncated or damaged: it announces {} elements of at least {} bytes, "
                  "{} bytes remain",
                  count, element_size, remaining));
}

void throw_misaligned(std::size_t alignment) {
  throw DecodeError(
      fmt::format("a view needs alignment {} and its bytes do not have it: messages must start "
                  "at a multiple of {}",
                  alignment, area_alignment));
}

void throw_window(std::uint64_t offset, std::uint64_t length, std::size_t window) {
  throw DecodeError(
      fmt::format("a view of {} bytes at offset {} lies outside the shared window of {} bytes",
                  length, offset, window));
}

void throw_invalid(const char* what, std::uint64_t value) {
  throw DecodeError(fmt::format("message is damaged: {} has the value {}", what, value));
}

void throw_trailing(std::size_t remaining) {
  throw DecodeError(
      fmt::format("message is damaged: {} bytes are left over after the last value", remaining));
}

void throw_encode_depth() {
  throw EncodeError(
      fmt::format("value is nested more than {} levels deep: send a flat form, for instance a "
                  "vector of nodes with indices",
                  depth_max));
}

void throw_decode_depth() {
  throw DecodeError(
      fmt::format("message is damaged: values nest more than {} levels deep", depth_max));
}

void throw_valueless() {
  throw EncodeError(
      "a std::variant that is valueless_by_exception cannot be encoded: assign a value first");
}

void throw_null_string() {
  throw EncodeError(
      "a null char pointer cannot be encoded as a string: pass \"\" or a "
      "std::optional<std::string>");
}

void throw_grow(std::size_t needed, std::size_t got) {
  throw EncodeError(
      fmt::format("encoded value needs {} bytes and its area offers {}", needed, got));
}

#if defined(__SSE2__)
void copy_far(std::byte* to, const std::byte* from, std::size_t size) noexcept {
  constexpr std::size_t line = 64;
  const std::size_t head = (~reinterpret_cast<std::uintptr_t>(to) + 1) % line;
  if (head >= size) {
    std::memcpy(to, from, size);
    return;
  }
  std::memcpy(to, from, head);
  std::size_t at = head;
  for (; size - at >= line; at += line) {
    const auto* source = reinterpret_cast<const __m128i*>(from + at);
    auto* target = reinterpret_cast<__m128i*>(to + at);
    const __m128i parts[] = {_mm_loadu_si128(source), _mm_loadu_si128(source + 1),
                             _mm_loadu_si128(source + 2), _mm_loadu_si128(source + 3)};
    for (int i = 0; i < 4; ++i) _mm_stream_si128(target + i, parts[i]);
  }
  std::memcpy(to + at, from + at, size - at);
  _mm_sfence();  // the store that announces the message does not wait for these by itself
}
#else
void copy_far(std::byte* to, const std::byte* from, std::size_t size) noexcept {
  std::memcpy(to, from, size);
}
#endif

}  // namespace detail

void Writer::grow(std::size_t size) {
  if (size > std::numeric_limits<std::size_t>::max() / 2 - size_)
    detail::throw_grow(size, capacity_);
  const std::size_t needed = size_ + size;
  if (grow_ == nullptr) detail::throw_grow(needed, capacity_);
  const auto area = grow_(context_, needed);
  if (area.size() < needed) detail::throw_grow(needed, area.size());
  base_ = area.data();
  capacity_ = area.size();
}

std::span<const std::byte> Reader::read_view(std::size_t element_size, std::size_t alignment) {
  const std::uint8_t shared = read_tag();
  if (shared > 1) detail::throw_invalid("the place of a view", shared);
  std::span<const std::byte> part;
  if (shared == 1) {
    const std::uint64_t offset = read_size();
    const std::uint64_t count = read_size();
    if (offset > shared_.size() || count > (shared_.size() - offset) / element_size) {
      detail::throw_window(offset, count * element_size, shared_.size());
    }
    part = shared_.subspan(offset, count * element_size);
  } else {
    const std::size_t count = read_count(element_size);
    align(alignment);
    if (count * element_size > remaining())
      detail::throw_truncated(count * element_size, remaining());
    part = view(count * element_size);
  }
  if (!part.empty() && reinterpret_cast<std::uintptr_t>(part.data()) % alignment != 0) {
    detail::throw_misaligned(alignment);
  }
  return part;
}

OwnedBuffer::OwnedBuffer(std::size_t initial_capacity)
    : data_(static_cast<std::byte*>(::operator new(std::max<std::size_t>(initial_capacity, 1),
                                                   std::align_val_t{area_alignment}))),
      capacity_(std::max<std::size_t>(initial_capacity, 1)),
      writer_({data_, capacity_}, &OwnedBuffer::grow, this) {}

OwnedBuffer::~OwnedBuffer() {
  ::operator delete(data_, std::align_val_t{area_alignment});
}

std::span<std::byte> OwnedBuffer::grow(void* self, std::size_t needed) {
  auto& buffer = *static_cast<OwnedBuffer*>(self);
  const std::size_t capacity = std::max(needed, buffer.capacity_ * 2);
  auto* data = static_cast<std::byte*>(::operator new(capacity, std::align_val_t{area_alignment}));
  std::memcpy(data, buffer.data_, std::min(buffer.capacity_, buffer.writer_.size()));
  ::operator delete(buffer.data_, std::align_val_t{area_alignment});
  buffer.data_ = data;
  buffer.capacity_ = capacity;
  return {data, capacity};
}

}  // namespace reeve::codec
