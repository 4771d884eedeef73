// Exceptions as values: type name, text and nested chain, and the standard ones as themselves
// again.
#pragma once

#include <reeve/codec/codec.hpp>

#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <vector>

namespace reeve::codec {

/// The standard types that come back as themselves.
enum class StandardException : std::uint8_t {
  none,
  runtime_error,
  logic_error,
  invalid_argument,
  domain_error,
  length_error,
  out_of_range,
  range_error,
  overflow_error,
  underflow_error,
  system_error,
  bad_alloc,
  bad_array_new_length,
  bad_variant_access,
  bad_optional_access,
  bad_cast,
  bad_typeid,
  bad_function_call,
  bad_weak_ptr,
  bad_exception,
  exception,
};

enum class ErrorCategory : std::uint8_t { other, generic, system };

/// One level of an exception: what crosses from a worker.
struct ExceptionLevel {
  std::string type;  ///< demangled dynamic type
  std::string
      what;  ///< empty for objects that are no std::exception, unless they are a string or an int
  StandardException standard =
      StandardException::none;  ///< the dynamic type, if it is exactly one of these
  ErrorCategory category = ErrorCategory::other;  ///< of a system_error
  std::int32_t code = 0;                          ///< of a system_error
  bool operator==(const ExceptionLevel&) const = default;
};

/// An exception with the exceptions nested in it (std::throw_with_nested), outermost first; never
/// empty when captured.
struct ExceptionRecord {
  std::vector<ExceptionLevel> levels;
  std::optional<std::uint64_t> item;  ///< index in the chunk, from ItemFailure
  bool truncated =
      false;  ///< texts or levels were cut: too long, too many, or no memory to hold them

  const std::string& type() const noexcept;
  const std::string& what() const noexcept;
  bool operator==(const ExceptionRecord&) const = default;
};

/// Levels and text lengths beyond these are cut.
inline constexpr std::size_t exception_levels_max = 16;
inline constexpr std::size_t exception_text_max = 64 * 1024;

/// Describes an exception, also one that is no std::exception.
///
/// Never throws: when memory is exhausted the record has one level with the same StandardException,
/// texts cut to what fits without allocation, and `truncated` set. Where even one level cannot be
/// had, `levels` is empty.
ExceptionRecord capture(std::exception_ptr error) noexcept;

/// Writes what `decode<ExceptionRecord>` reads, straight from the exception: allocates nothing but
/// the writer's area (and what __cxa_demangle takes; without memory the mangled name is sent). For
/// workers that are out of memory.
void encode_exception(Writer& writer, std::exception_ptr error);

/// The same standard exception, or null if the dynamic type was not exactly one of them or others
/// are nested in it.
std::exception_ptr make_standard(const ExceptionRecord& record);

template <>
struct Codec<ExceptionRecord> {
  static void encode(Writer& writer, const ExceptionRecord& record);
  static ExceptionRecord decode(Reader& reader);
};

}  // namespace reeve::codec
