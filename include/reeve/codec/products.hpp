// Byte forms of arrays, pairs, tuples, optionals, unique pointers and variants.
#pragma once

#include <reeve/codec/containers.hpp>

#include <array>
#include <memory>
#include <optional>
#include <tuple>
#include <utility>
#include <variant>

namespace reeve::codec {

template <class T, std::size_t N>
struct Codec<std::array<T, N>> {
  using parts = detail::TypeList<T>;
  static constexpr std::size_t min_size = N * detail::min_size<T>();
  static void encode(Writer& writer, const std::array<T, N>& value) {
    const Writer::Nesting nesting(writer);
    for (const T& element : value) detail::encode_value(writer, element);
  }
  static std::array<T, N> decode(Reader& reader) {
    const Reader::Nesting nesting(reader);
    return [&]<std::size_t... I>(std::index_sequence<I...>) {
      return std::array<T, N>{((void)I, detail::decode_value<T>(reader))...};
    }(std::make_index_sequence<N>{});
  }
};

template <class A, class B>
struct Codec<std::pair<A, B>> {
  using parts = detail::TypeList<A, B>;
  static constexpr std::size_t min_size = detail::min_size<A>() + detail::min_size<B>();
  static void encode(Writer& writer, const std::pair<A, B>& value) {
    const Writer::Nesting nesting(writer);
    detail::encode_value(writer, value.first);
    detail::encode_value(writer, value.second);
  }
  static std::pair<A, B> decode(Reader& reader) {
    const Reader::Nesting nesting(reader);
    return std::pair<A, B>{detail::decode_value<A>(reader), detail::decode_value<B>(reader)};
  }
};

template <class... Ts>
struct Codec<std::tuple<Ts...>> {
  using parts = detail::TypeList<Ts...>;
  static constexpr std::size_t min_size = (detail::min_size<Ts>() + ... + 0);
  static void encode(Writer& writer, const std::tuple<Ts...>& value) {
    const Writer::Nesting nesting(writer);
    std::apply([&](const Ts&... elements) { (detail::encode_value(writer, elements), ...); },
               value);
  }
  static std::tuple<Ts...> decode(Reader& reader) {
    const Reader::Nesting nesting(reader);
    return std::tuple<Ts...>{detail::decode_value<Ts>(reader)...};
  }
};

/// optional and unique_ptr: one byte, then the value if there is one.
template <class T>
struct Codec<std::optional<T>> {
  using parts = detail::TypeList<T>;
  static constexpr std::size_t min_size = 1;
  static void encode(Writer& writer, const std::optional<T>& value) {
    const Writer::Nesting nesting(writer);
    const bool present = value.has_value();
    writer.write(&present, 1);
    if (present) detail::encode_value(writer, *value);
  }
  static std::optional<T> decode(Reader& reader) {
    const Reader::Nesting nesting(reader);
    const std::uint8_t present = reader.read_tag();
    if (present > 1) detail::throw_invalid("the flag of an optional", present);
    if (present == 0) return std::nullopt;
    return std::optional<T>{detail::decode_value<T>(reader)};
  }
};

template <class T>
  requires(!std::is_array_v<T>)
struct Codec<std::unique_ptr<T>> {
  static_assert(!std::is_polymorphic_v<T>,
                "reeve: a std::unique_ptr to a polymorphic class would be sliced; send a "
                "std::variant of the concrete classes.");
  using parts = detail::TypeList<T>;
  static constexpr std::size_t min_size = 1;
  static void encode(Writer& writer, const std::unique_ptr<T>& value) {
    const Writer::Nesting nesting(writer);
    const bool present = value != nullptr;
    writer.write(&present, 1);
    if (present) detail::encode_value(writer, *value);
  }
  static std::unique_ptr<T> decode(Reader& reader) {
    const Reader::Nesting nesting(reader);
    const std::uint8_t present = reader.read_tag();
    if (present > 1) detail::throw_invalid("the flag of a pointer", present);
    if (present == 0) return nullptr;
    return std::make_unique<T>(detail::decode_value<T>(reader));
  }
};

template <class... Ts>
struct Codec<std::variant<Ts...>> {
  static_assert(sizeof...(Ts) <= 255, "reeve: a std::variant may have at most 255 alternatives");
  using Variant = std::variant<Ts...>;
  using parts = detail::TypeList<Ts...>;
  static constexpr std::size_t min_size = 1;
  static void encode(Writer& writer, const Variant& value) {
    if (value.valueless_by_exception()) detail::throw_valueless();
    const Writer::Nesting nesting(writer);
    const auto index = static_cast<std::uint8_t>(value.index());
    writer.write(&index, 1);
    std::visit([&](const auto& element) { detail::encode_value(writer, element); }, value);
  }
  static Variant decode(Reader& reader) {
    const Reader::Nesting nesting(reader);
    const std::uint8_t index = reader.read_tag();
    if (index >= sizeof...(Ts)) detail::throw_invalid("the index of a variant", index);
    return decode_from<0>(reader, index);
  }

 private:
  template <std::size_t I>
  static Variant decode_from(Reader& reader, std::size_t index) {
    if constexpr (I + 1 < sizeof...(Ts)) {
      if (index != I) return decode_from<I + 1>(reader, index);
    }
    using Element = std::variant_alternative_t<I, Variant>;
    return Variant{std::in_place_index<I>, detail::decode_value<Element>(reader)};
  }
};

}  // namespace reeve::codec
