// Values to bytes and back, chosen at compile time.
#pragma once

#include <reeve/codec/buffer.hpp>
#include <reeve/codec/containers.hpp>
#include <reeve/codec/products.hpp>

#include <cstdint>
#include <string_view>
#include <type_traits>

namespace reeve::codec {

/// May be an argument: everything in it has a byte form; spans and string views arrive as views
/// into the message.
template <class T>
concept Argument = std::is_object_v<T> && detail::encodable<std::remove_cv_t<T>, true>();

/// May be a result: as Argument, but owning. Views are refused: what they refer to stays behind in
/// the worker.
template <class T>
concept Result =
    std::is_object_v<T> && !std::is_array_v<T> && detail::encodable<std::remove_cv_t<T>, false>();

/// Appends the values one after another.
///
/// Errors: EncodeError (nested deeper than `depth_max`, valueless variant); what the writer's
/// growth throws. Cost:   contiguous plain elements by one memcpy; no allocation of its own.
template <class... Ts>
void encode(Writer& writer, const Ts&... values) {
  static_assert((Argument<Ts> && ...),
                "reeve: a type here has no byte form. Pointers, references, and classes with "
                "private members have "
                "none: pass the data itself (std::string, std::vector, an aggregate, "
                "std::span<const T> as input), "
                "set reeve::codec::is_plain<T> for a trivially copyable class without pointers, or "
                "specialise "
                "reeve::codec::Codec<T>.");
  (detail::encode_value(writer, values), ...);
}

/// Reads one T.
///
/// Lifetime: spans and string views in a T refer to the message or the shared window.
/// Errors:   DecodeError.
template <class T>
T decode(Reader& reader) {
  static_assert(
      Argument<T>,
      "reeve: this type has no byte form and cannot be decoded; see reeve::codec::encode.");
  return detail::decode_value<T>(reader);
}

/// A number that differs between different lists of types, equal only within one compiler: a cheap
/// check that two programs speak of the same types. It knows names, not layouts.
template <class... Ts>
consteval std::uint64_t type_hash() {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : std::string_view{__PRETTY_FUNCTION__}) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  }
  return hash;
}

}  // namespace reeve::codec
