// Which types the codec understands, decided at compile time: plain bytes, views, encodable.
#pragma once

#include <reeve/codec/detail/aggregate.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <type_traits>

namespace reeve::codec {

/// How a T becomes bytes. Specialise it for a class the codec does not know:
///
///     template <> struct reeve::codec::Codec<Matrix> {
///       static void encode(Writer&, const Matrix&);
///       static Matrix decode(Reader&);
///     };
template <class T>
struct Codec;

/// Opt-in: a trivially copyable class with private members that holds no pointer may be copied as
/// bytes.
///
///     template <> inline constexpr bool reeve::codec::is_plain<Vec3> = true;
template <class T>
inline constexpr bool is_plain = false;

namespace detail {

template <class... Ts>
struct TypeList {};

template <class T>
concept ComplexLike =
    requires(const T& t) {
      typename T::value_type;
      t.real();
      t.imag();
    } && std::is_trivially_copyable_v<T> && std::is_floating_point_v<typename T::value_type> &&
    sizeof(T) == 2 * sizeof(typename T::value_type);

template <class T>
concept DurationLike = requires(const T& t) {
  typename T::rep;
  typename T::period;
  { t.count() } -> std::same_as<typename T::rep>;
} && std::is_arithmetic_v<typename T::rep> && sizeof(T) == sizeof(typename T::rep);

template <class T>
concept TimePointLike = requires(const T& t) {
  typename T::clock;
  { t.time_since_epoch() } -> DurationLike;
} && std::is_trivially_copyable_v<T> && sizeof(T) == sizeof(typename T::duration);

template <class T>
struct IsStdArray : std::false_type {};
template <class T, std::size_t N>
struct IsStdArray<std::array<T, N>> : std::true_type {};

// Specialisations other than the primary template do not have this name.
template <class T>
concept Unspecialised = requires { typename Codec<T>::unspecialised; };

template <class T>
consteval bool plain();

template <class... Fields>
consteval bool all_plain(FieldTypes<Fields...>) {
  return (plain<Fields>() && ...);
}

/// True if the bytes of a T are its value and mean the same in another process.
template <class T>
consteval bool plain() {
  if constexpr (std::is_arithmetic_v<T> || std::is_enum_v<T> || is_plain<T>) {
    return true;
  } else if constexpr (std::is_array_v<T>) {
    return plain<std::remove_cv_t<std::remove_all_extents_t<T>>>();
  } else if constexpr (!std::is_class_v<T> || !std::is_trivially_copyable_v<T>) {
    return false;
  } else if constexpr (IsStdArray<T>::value) {
    return std::tuple_size_v<T> > 0 && plain<typename T::value_type>();
  } else if constexpr (ComplexLike<T> || DurationLike<T> || TimePointLike<T>) {
    return true;
  } else if constexpr (!Unspecialised<T>) {
    return false;
  } else if constexpr (is_visitable<T>()) {
    return all_plain(FieldTypesOf<T>{});
  } else {
    return false;
  }
}

template <class T>
consteval bool has_bool();
template <class... Fields>
consteval bool any_bool(FieldTypes<Fields...>) {
  return (has_bool<Fields>() || ...);
}
/// True if some byte patterns of a plain T are no value: a bool is 0 or 1.
template <class T>
consteval bool has_bool() {
  if constexpr (std::is_same_v<T, bool>) {
    return true;
  } else if constexpr (std::is_enum_v<T>) {
    return std::is_same_v<std::underlying_type_t<T>, bool>;
  } else if constexpr (is_plain<T> || std::is_arithmetic_v<T>) {
    return false;
  } else if constexpr (std::is_array_v<T>) {
    return has_bool<std::remove_cv_t<std::remove_all_extents_t<T>>>();
  } else if constexpr (IsStdArray<T>::value) {
    return has_bool<typename T::value_type>();
  } else if constexpr (is_visitable<T>()) {
    return any_bool(FieldTypesOf<T>{});
  } else {
    return false;
  }
}

template <class T, class... Seen>
inline constexpr bool is_one_of = (std::is_same_v<T, Seen> || ...);

template <class T, bool Views, class... Seen>
consteval bool encodable();

template <bool Views, class... Seen, template <class...> class List, class... Parts>
consteval bool parts_encodable(List<Parts...>) {
  return (encodable<Parts, Views, Seen...>() && ...);
}

/// True if T can be encoded and decoded; Views: also if it holds views into the message.
/// A type that contains itself (a tree of vectors) is encodable if everything else in it is.
template <class T, bool Views, class... Seen>
consteval bool encodable() {
  if constexpr (!std::is_same_v<T, std::remove_cvref_t<T>> && !std::is_array_v<T>) {
    return false;
  } else if constexpr (is_one_of<T, Seen...> || plain<T>()) {
    return true;
  } else if constexpr (std::is_array_v<T>) {
    return encodable<std::remove_cv_t<std::remove_all_extents_t<T>>, Views, Seen...>();
  } else if constexpr (!std::is_class_v<T>) {
    return false;
  } else if constexpr (requires { typename Codec<T>::parts; }) {
    if constexpr (!Views && requires { typename Codec<T>::view; }) {
      return false;
    } else {
      return parts_encodable<Views, T, Seen...>(typename Codec<T>::parts{});
    }
  } else if constexpr (!Unspecialised<T>) {
    return true;
  } else if constexpr (is_visitable<T>()) {
    return parts_encodable<Views, T, Seen...>(FieldTypesOf<T>{});
  } else {
    return false;
  }
}

template <class T>
consteval std::size_t min_size();
template <template <class...> class List, class... Parts>
consteval std::size_t sum_min_size(List<Parts...>) {
  return (min_size<Parts>() + ... + 0);
}
/// The least number of bytes that any T takes when encoded, at least 1 for anything that counts
/// elements.
template <class T>
consteval std::size_t min_size() {
  if constexpr (plain<T>()) {
    return sizeof(T);
  } else if constexpr (std::is_array_v<T>) {
    return std::extent_v<T> * min_size<std::remove_extent_t<T>>();
  } else if constexpr (requires { Codec<T>::min_size; }) {
    return Codec<T>::min_size;
  } else if constexpr (Unspecialised<T> && is_visitable<T>()) {
    return sum_min_size(FieldTypesOf<T>{});
  } else {
    return 0;
  }
}
template <class T>
inline constexpr std::size_t count_unit = min_size<T>() == 0 ? 1 : min_size<T>();

}  // namespace detail
}  // namespace reeve::codec
