// Byte forms of plain types, aggregates, strings, views and containers.
#pragma once

#include <reeve/codec/buffer.hpp>
#include <reeve/codec/traits.hpp>

#include <array>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace reeve {
class ByteSize;
}

namespace reeve::codec {

template <>
inline constexpr bool is_plain<ByteSize> = true;

namespace detail {

/// Throws DecodeError if a bool among the bytes of `value` is neither 0 nor 1.
template <class T>
void check_plain(const T& value) {
  if constexpr (!has_bool<T>()) {
  } else if constexpr (std::is_array_v<T> || IsStdArray<T>::value) {
    for (const auto& element : value) check_plain(element);
  } else if constexpr (std::is_class_v<T>) {
    visit_fields(value, [](const auto&... fields) { (check_plain(fields), ...); });
  } else {
    unsigned char byte;
    std::memcpy(&byte, &value, 1);
    if (byte > 1) throw_invalid("a bool", byte);
  }
}

/// Copies the bytes of one plain T out of the message, then checks them.
template <class T>
void read_plain(Reader& reader, T& to) {
  reader.align(alignof(T));
  reader.read(static_cast<void*>(&to), sizeof(T));
  if constexpr (has_bool<T>()) {
    __asm__ volatile("" : : "r"(&to) : "memory");  // check the copy, not the shared original
    check_plain(to);
  }
}

template <class T>
void encode_value(Writer& writer, const T& value) {
  if constexpr (plain<T>()) {
    static_assert(alignof(T) <= area_alignment, "reeve: over-aligned types cannot be encoded");
    writer.align(alignof(T));
    writer.write(&value, sizeof(T));
  } else if constexpr (std::is_array_v<T>) {
    for (const auto& element : value) encode_value(writer, element);
  } else {
    Codec<T>::encode(writer, value);
  }
}

template <class T>
T decode_value(Reader& reader) {
  if constexpr (plain<T>()) {
    union Storage {
      Storage() {}
      T value;
    } storage;
    read_plain(reader, storage.value);
    return storage.value;
  } else {
    return Codec<T>::decode(reader);
  }
}

template <class T>
void decode_into(Reader& reader, T& to) {
  if constexpr (plain<T>()) {
    read_plain(reader, to);
  } else if constexpr (std::is_array_v<T>) {
    for (auto& element : to) decode_into(reader, element);
  } else {
    to = Codec<T>::decode(reader);
  }
}

template <class T, class... Fields>
T decode_braced(Reader& reader, FieldTypes<Fields...>) {
  return T{decode_value<Fields>(reader)...};
}

template <class T>
concept ListLike = requires(T& t, typename T::value_type v) {
  t.push_back(std::move(v));
  t.size();
  t.begin();
} && std::is_default_constructible_v<T>;
template <class T>
concept SetLike =
    requires(T& t, typename T::key_type k) {
      t.emplace_hint(t.end(), std::move(k));
      t.size();
    } && std::is_same_v<typename T::key_type, typename T::value_type> &&
    std::is_default_constructible_v<T>;
template <class T>
concept MapLike = requires(T& t, typename T::key_type k, typename T::mapped_type m) {
  t.emplace_hint(t.end(), std::move(k), std::move(m));
  t.size();
} && std::is_default_constructible_v<T>;

}  // namespace detail

/// Aggregates: their fields in order.
template <class T>
struct Codec {
  using unspecialised = void;
  static void encode(Writer& writer, const T& value) {
    const Writer::Nesting nesting(writer);
    detail::visit_fields(
        value, [&](const auto&... fields) { (detail::encode_value(writer, fields), ...); });
  }
  static T decode(Reader& reader) {
    const Reader::Nesting nesting(reader);
    if constexpr (std::is_default_constructible_v<T>) {
      T value{};
      detail::visit_fields(value,
                           [&](auto&... fields) { (detail::decode_into(reader, fields), ...); });
      return value;
    } else {
      return detail::decode_braced<T>(reader, detail::FieldTypesOf<T>{});
    }
  }
};

template <class Allocator>
struct Codec<std::basic_string<char, std::char_traits<char>, Allocator>> {
  using parts = detail::TypeList<>;
  using String = std::basic_string<char, std::char_traits<char>, Allocator>;
  static constexpr std::size_t min_size = 8;
  static void encode(Writer& writer, const String& value) {
    writer.write_size(value.size());
    writer.write(value.data(), value.size());
  }
  static String decode(Reader& reader) {
    const auto bytes = reader.view(reader.read_count(1));
    return String(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
};

/// Input views: [place][count][padding][elements], or [place][offset][count] when the window holds
/// the data.
template <class T>
struct Codec<std::span<const T>> {
  static_assert(detail::plain<T>(),
                "reeve: std::span<const T> travels as bytes, so T must be trivially copyable and "
                "without pointers; pass a std::vector<T> instead.");
  using parts = detail::TypeList<T>;
  using view = void;
  static constexpr std::size_t min_size = 9;
  static void encode(Writer& writer, std::span<const T> value) {
    std::uint64_t offset = 0;
    if (writer.find_shared(value.data(), value.size_bytes(), offset) && offset % alignof(T) == 0) {
      const std::uint8_t shared = 1;
      writer.write(&shared, 1);
      writer.write_size(offset);
      writer.write_size(value.size());
    } else {
      const std::uint8_t shared = 0;
      writer.write(&shared, 1);
      writer.write_size(value.size());
      writer.align(alignof(T));
      writer.write(value.data(), value.size_bytes());
    }
  }
  static std::span<const T> decode(Reader& reader) {
    const auto bytes = reader.read_view(sizeof(T), alignof(T));
    const std::span<const T> view(reinterpret_cast<const T*>(bytes.data()),
                                  bytes.size() / sizeof(T));
    if constexpr (detail::has_bool<T>()) {
      for (const T& element : view) detail::check_plain(element);
    }
    return view;
  }
};

template <>
struct Codec<std::string_view> {
  using parts = detail::TypeList<>;
  using view = void;
  static constexpr std::size_t min_size = 9;
  static void encode(Writer& writer, std::string_view value) {
    Codec<std::span<const char>>::encode(writer, {value.data(), value.size()});
  }
  static std::string_view decode(Reader& reader) {
    const auto bytes = Codec<std::span<const char>>::decode(reader);
    return {bytes.data(), bytes.size()};
  }
};

/// vector, deque, list: count and elements; a vector of plain elements is one memcpy.
template <class T>
  requires(detail::ListLike<T>)
struct Codec<T> {
  using Element = typename T::value_type;
  using parts = detail::TypeList<Element>;
  static constexpr std::size_t min_size = 8;
  static constexpr bool contiguous = !std::is_same_v<Element, bool> && requires(T& t) {
    t.data();
    t.resize(1);
  };

  static void encode(Writer& writer, const T& value) {
    writer.write_size(value.size());
    if constexpr (contiguous && detail::plain<Element>()) {
      writer.align(alignof(Element));
      writer.write(value.data(), value.size() * sizeof(Element));
    } else if constexpr (std::is_same_v<Element, bool>) {
      for (const bool element : value) detail::encode_value(writer, element);
    } else {
      const Writer::Nesting nesting(writer);
      for (const auto& element : value) detail::encode_value(writer, element);
    }
  }
  static T decode(Reader& reader) {
    const std::size_t count = reader.read_count(detail::count_unit<Element>);
    T value;
    if constexpr (contiguous && detail::plain<Element>()) {
      reader.align(alignof(Element));
      const auto bytes = reader.view(count * sizeof(Element));
      if constexpr (std::is_default_constructible_v<Element> && detail::has_bool<Element>()) {
        value.resize(count);
        if (count != 0) std::memcpy(static_cast<void*>(value.data()), bytes.data(), bytes.size());
        __asm__ volatile("" : : "r"(value.data()) : "memory");
        for (const Element& element : value) detail::check_plain(element);
      } else {
        const auto* first = reinterpret_cast<const Element*>(bytes.data());
        if (reinterpret_cast<std::uintptr_t>(first) % alignof(Element) != 0) {
          detail::throw_misaligned(alignof(Element));
        }
        value.assign(first, first + count);
      }
    } else {
      const Reader::Nesting nesting(reader);
      if constexpr (requires { value.reserve(count); }) value.reserve(count);
      for (std::size_t i = 0; i < count; ++i)
        value.push_back(detail::decode_value<Element>(reader));
    }
    return value;
  }
};

template <class T>
  requires(detail::SetLike<T>)
struct Codec<T> {
  using Key = typename T::key_type;
  using parts = detail::TypeList<Key>;
  static constexpr std::size_t min_size = 8;
  static void encode(Writer& writer, const T& value) {
    const Writer::Nesting nesting(writer);
    writer.write_size(value.size());
    for (const auto& key : value) detail::encode_value(writer, key);
  }
  static T decode(Reader& reader) {
    const Reader::Nesting nesting(reader);
    const std::size_t count = reader.read_count(detail::count_unit<Key>);
    T value;
    for (std::size_t i = 0; i < count; ++i)
      value.emplace_hint(value.end(), detail::decode_value<Key>(reader));
    return value;
  }
};

template <class T>
  requires(detail::MapLike<T>)
struct Codec<T> {
  using Key = typename T::key_type;
  using Mapped = typename T::mapped_type;
  using parts = detail::TypeList<Key, Mapped>;
  static constexpr std::size_t min_size = 8;
  static void encode(Writer& writer, const T& value) {
    const Writer::Nesting nesting(writer);
    writer.write_size(value.size());
    for (const auto& [key, mapped] : value) {
      detail::encode_value(writer, key);
      detail::encode_value(writer, mapped);
    }
  }
  static T decode(Reader& reader) {
    const Reader::Nesting nesting(reader);
    constexpr std::size_t least = detail::min_size<Key>() + detail::min_size<Mapped>();
    const std::size_t count = reader.read_count(least == 0 ? 1 : least);
    T value;
    for (std::size_t i = 0; i < count; ++i) {
      auto key = detail::decode_value<Key>(reader);
      value.emplace_hint(value.end(), std::move(key), detail::decode_value<Mapped>(reader));
    }
    return value;
  }
};

}  // namespace reeve::codec
