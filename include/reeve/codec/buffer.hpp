// Writer and Reader: bytes with alignment, bounds checks and a window that both sides map.
#pragma once

#include <reeve/base/error.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

namespace reeve::codec {

/// A value that cannot be written: nested too deeply, a variant without a value, an area that
/// cannot grow.
class EncodeError : public Error {
 public:
  using Error::Error;
};

/// Bytes that are not what an encoder of this program writes: truncated, damaged or hostile.
class DecodeError : public Error {
 public:
  using Error::Error;
};

/// Nesting of containers and aggregates that are not copied as plain bytes.
inline constexpr int depth_max = 64;

/// Largest alignment that encoded values may ask for; areas and spans start at a multiple of it.
inline constexpr std::size_t area_alignment = 64;

namespace detail {
[[noreturn]] void throw_truncated(std::size_t needed, std::size_t remaining);
[[noreturn]] void throw_count(std::uint64_t count, std::size_t element_size, std::size_t remaining);
[[noreturn]] void throw_misaligned(std::size_t alignment);
[[noreturn]] void throw_window(std::uint64_t offset, std::uint64_t length, std::size_t window);
[[noreturn]] void throw_invalid(const char* what, std::uint64_t value);
[[noreturn]] void throw_trailing(std::size_t remaining);
[[noreturn]] void throw_encode_depth();
[[noreturn]] void throw_decode_depth();
[[noreturn]] void throw_valueless();
[[noreturn]] void throw_null_string();
[[noreturn]] void throw_grow(std::size_t needed, std::size_t got);

/// From this size on the reader, on another core, gets the bytes sooner from memory than out of the
/// writer's cache, line by line.
inline constexpr std::size_t far_copy_min = 64 * 1024;

/// memcpy for a reader on another core: past this core's caches, and in memory at its return.
void copy_far(std::byte* to, const std::byte* from, std::size_t size) noexcept;
}  // namespace detail

/// Appends to a contiguous area that may grow, for instance a shared arena.
///
/// Lifetime: refers to the area and the growth context; copies nothing.
/// Threads:  one at a time.
class Writer {
 public:
  /// Returns an area of at least `needed` bytes with the old content at its start, at the same or
  /// another address, or throws. Old addresses are not used after the call.
  using Grow = std::span<std::byte> (*)(void* context, std::size_t needed);

  /// Preconditions: `area` starts at a multiple of `area_alignment`, as does every area that `grow`
  /// returns.
  Writer(std::span<std::byte> area, Grow grow_area, void* context) noexcept
      : base_(area.data()), capacity_(area.size()), grow_(grow_area), context_(context) {}
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  void write(const void* data, std::size_t size) {
    std::byte* to = reserve(size);
    if (size >= detail::far_copy_min) {
      detail::copy_far(to, static_cast<const std::byte*>(data), size);
    } else if (size != 0) {
      std::memcpy(to, data, size);
    }
  }

  /// Appends `size` bytes and returns their address, valid until the next call that appends.
  std::byte* reserve(std::size_t size) {
    if (size > capacity_ - size_) grow(size);
    std::byte* at = base_ + size_;
    size_ += size;
    return at;
  }

  /// Pads with zeros up to a multiple of `alignment` (a power of two, at most `area_alignment`).
  void align(std::size_t alignment) {
    const std::size_t padding = (~size_ + 1) & (alignment - 1);
    if (padding != 0) std::memset(reserve(padding), 0, padding);
  }

  void write_size(std::uint64_t size) { write(&size, sizeof size); }

  /// Overwrites the size that was written at `position`.
  void patch_size(std::size_t position, std::uint64_t size) noexcept {
    std::memcpy(base_ + position, &size, sizeof size);
  }

  /// Drops everything after `size`: a result that turned out to be an error is replaced by it.
  void truncate(std::size_t size) noexcept { size_ = size < size_ ? size : size_; }

  std::size_t size() const noexcept { return size_; }
  std::span<const std::byte> bytes() const noexcept { return {base_, size_}; }

  /// Spans and string views whose data lie in `window` are written as (offset, length) from now on
  /// instead of by copy; the reader must have the same window.
  void set_shared(std::span<const std::byte> window) noexcept { shared_ = window; }

  /// True if [data, data + size) lies in the shared window; `offset` is then its place.
  bool find_shared(const void* data, std::size_t size, std::uint64_t& offset) const noexcept {
    const auto begin = reinterpret_cast<std::uintptr_t>(shared_.data());
    const auto at = reinterpret_cast<std::uintptr_t>(data);
    if (size == 0 || size > shared_.size() || at < begin) return false;
    if (at - begin > shared_.size() - size) return false;
    offset = at - begin;
    return true;
  }

  /// Counts nesting; throws EncodeError beyond `depth_max`.
  class Nesting {
   public:
    explicit Nesting(Writer& writer) : writer_(writer) {
      if (writer_.depth_ == depth_max) detail::throw_encode_depth();
      ++writer_.depth_;
    }
    ~Nesting() { --writer_.depth_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;

   private:
    Writer& writer_;
  };

 private:
  void grow(std::size_t size);

  std::byte* base_;
  std::size_t capacity_;
  std::size_t size_ = 0;
  Grow grow_;
  void* context_;
  std::span<const std::byte> shared_;
  int depth_ = 0;
};

/// Reads what a Writer wrote, from bytes that nobody vouches for.
///
/// Every length is copied out once, then checked against what remains, then used: the bytes may lie
/// in memory that another process changes at the same time. Nothing is allocated before its length
/// is checked.
///
/// Lifetime: refers to the bytes and the window; decoded views do, too.
/// Errors:   DecodeError from every reading function.
/// Threads:  one at a time.
class Reader {
 public:
  /// Preconditions: `bytes` starts at a multiple of the largest alignment of any view that is read
  /// from it
  ///                (`area_alignment` is always enough); otherwise reading that view throws.
  explicit Reader(std::span<const std::byte> bytes) noexcept : bytes_(bytes) {}
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  /// The window that the writer's `set_shared` named.
  void set_shared(std::span<const std::byte> window) noexcept { shared_ = window; }

  std::size_t position() const noexcept { return position_; }
  std::size_t remaining() const noexcept { return bytes_.size() - position_; }

  /// The next `size` bytes, in place.
  std::span<const std::byte> view(std::size_t size) {
    if (size > remaining()) detail::throw_truncated(size, remaining());
    const auto part = bytes_.subspan(position_, size);
    position_ += size;
    return part;
  }

  void read(void* to, std::size_t size) {
    const auto part = view(size);
    if (size != 0) std::memcpy(to, part.data(), size);
  }

  void align(std::size_t alignment) {
    const std::size_t padding = (~position_ + 1) & (alignment - 1);
    view(padding);
  }

  std::uint64_t read_size() {
    std::uint64_t size;
    read(&size, sizeof size);
    __asm__ volatile(
        ""
        : "+r"(size));  // the compiler must not fetch it a second time from shared memory
    return size;
  }

  std::uint8_t read_tag() {
    std::uint8_t tag;
    read(&tag, sizeof tag);
    __asm__ volatile("" : "+r"(tag));
    return tag;
  }

  /// A number of elements of which each takes at least `element_size` > 0 bytes: at most what can
  /// remain.
  std::size_t read_count(std::size_t element_size) {
    const std::uint64_t count = read_size();
    if (count > remaining() / element_size) detail::throw_count(count, element_size, remaining());
    return static_cast<std::size_t>(count);
  }

  /// `count` elements in place: inline, or in the shared window.
  std::span<const std::byte> read_view(std::size_t element_size, std::size_t alignment);

  /// Throws DecodeError if bytes are left over.
  void finish() const {
    if (remaining() != 0) detail::throw_trailing(remaining());
  }

  /// Counts nesting; throws DecodeError beyond `depth_max`.
  class Nesting {
   public:
    explicit Nesting(Reader& reader) : reader_(reader) {
      if (reader_.depth_ == depth_max) detail::throw_decode_depth();
      ++reader_.depth_;
    }
    ~Nesting() { --reader_.depth_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;

   private:
    Reader& reader_;
  };

 private:
  std::span<const std::byte> bytes_;
  std::size_t position_ = 0;
  std::span<const std::byte> shared_;
  int depth_ = 0;
};

/// A growing heap area with its Writer: for tests, thread workers and small messages.
class OwnedBuffer {
 public:
  explicit OwnedBuffer(std::size_t initial_capacity = 256);
  ~OwnedBuffer();
  OwnedBuffer(const OwnedBuffer&) = delete;
  OwnedBuffer& operator=(const OwnedBuffer&) = delete;

  Writer& writer() noexcept { return writer_; }
  std::span<const std::byte> bytes() const noexcept { return writer_.bytes(); }

 private:
  static std::span<std::byte> grow(void* self, std::size_t needed);

  std::byte* data_;
  std::size_t capacity_;
  Writer writer_;
};

}  // namespace reeve::codec
