// Fields of an aggregate: how many, and a visit of each, without macros or registration.
#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

namespace reeve::codec::detail {

struct AnyField {
  template <class T>
  operator T() const noexcept;
};
template <class Derived>
struct AnyBase {
  template <class T>
    requires(std::is_base_of_v<T, Derived> && !std::is_same_v<T, Derived>)
  operator T() const noexcept;
};
template <std::size_t>
using AnyAt = AnyField;

/// Aggregates up to this many fields are understood; larger ones need a Codec of their own.
inline constexpr std::size_t field_count_max = 32;

// Array members take several initialisers ("slots"), so slots are counted first and grouped
// afterwards.
inline constexpr std::size_t slot_count_max = 4096;

template <class T, std::size_t... I>
consteval bool takes(std::index_sequence<I...>) {
  return requires { T{AnyAt<I>{}...}; };
}
template <class T, std::size_t... I, std::size_t... J>
consteval bool takes_braces(std::index_sequence<I...>, std::index_sequence<J...>) {
  return requires { T{AnyAt<I>{}..., {}, AnyAt<J>{}...}; };
}

// The largest n in [low, high) for which T takes n initialisers, when it takes low and not high.
template <class T, std::size_t Low, std::size_t High>
consteval std::size_t bisect_slots() {
  if constexpr (High - Low == 1) {
    return Low;
  } else {
    constexpr std::size_t middle = Low + (High - Low) / 2;
    if constexpr (takes<T>(std::make_index_sequence<middle>{})) {
      return bisect_slots<T, middle, High>();
    } else {
      return bisect_slots<T, Low, middle>();
    }
  }
}
template <class T, std::size_t N>
consteval std::size_t probe_slots() {
  if constexpr (N > slot_count_max) {
    return slot_count_max + 1;
  } else if constexpr (takes<T>(std::make_index_sequence<N>{})) {
    return probe_slots<T, N * 2>();
  } else {
    return bisect_slots<T, N / 2, N>();
  }
}
// Without a default for every field the count is not monotone: search from above.
template <class T, std::size_t N>
consteval std::size_t search_slots() {
  if constexpr (N == 0 || takes<T>(std::make_index_sequence<N>{})) {
    return N;
  } else {
    return search_slots<T, N - 1>();
  }
}
template <class T>
consteval std::size_t slot_count() {
  if constexpr (!takes<T>(std::index_sequence<>{})) {
    return search_slots<T, 2 * field_count_max>();
  } else {
    return probe_slots<T, 1>();
  }
}

// How many initialisers may follow `{}` at slot At: the largest n in [Low, High), High being too
// many.
template <class T, std::size_t At, std::size_t Low, std::size_t High>
consteval std::size_t bisect_rest() {
  if constexpr (High - Low <= 1) {
    return Low;
  } else {
    constexpr std::size_t middle = Low + (High - Low) / 2;
    if constexpr (takes_braces<T>(std::make_index_sequence<At>{},
                                  std::make_index_sequence<middle>{})) {
      return bisect_rest<T, At, middle, High>();
    } else {
      return bisect_rest<T, At, Low, middle>();
    }
  }
}
template <class T, std::size_t At, std::size_t Slots>
consteval std::size_t slots_of_field() {
  constexpr std::size_t rest = Slots - At - 1;
  if constexpr (takes_braces<T>(std::make_index_sequence<At>{}, std::make_index_sequence<rest>{})) {
    return 1;
  } else if constexpr (!takes_braces<T>(std::make_index_sequence<At>{}, std::index_sequence<>{})) {
    return 1;  // not default-constructible, or followed by such a field
  } else {
    return Slots - At - bisect_rest<T, At, 0, rest>();
  }
}
template <class T, std::size_t At, std::size_t Slots>
consteval std::size_t fields_from() {
  if constexpr (At >= Slots) {
    return 0;
  } else {
    return 1 + fields_from<T, At + slots_of_field<T, At, Slots>(), Slots>();
  }
}

template <class T>
consteval std::size_t count_fields() {
  constexpr std::size_t slots = slot_count<T>();
  if constexpr (slots > slot_count_max) {
    return field_count_max + 1;
  } else {
    return fields_from<T, 0, slots>();
  }
}
template <class T>
inline constexpr std::size_t field_count = count_fields<T>();

template <class T>
consteval bool has_base() {
  return requires { T{AnyBase<T>{}}; };
}

/// Aggregate classes whose fields can be visited.
template <class T>
consteval bool is_visitable() {
  if constexpr (!std::is_class_v<T> || !std::is_aggregate_v<T>) {
    return false;
  } else if constexpr (std::is_empty_v<T>) {
    return !has_base<T>();
  } else if constexpr (has_base<T>()) {
    return false;
  } else {
    return field_count<T> <= field_count_max && field_count<T> > 0;
  }
}

/// Calls visit(field...) with references to all fields of `value`.
template <class T, class Visit>
constexpr decltype(auto) visit_fields(T& value, Visit&& visit) {
  constexpr std::size_t count = field_count<std::remove_const_t<T>>;
  // clang-format off
  if constexpr (std::is_empty_v<T>) { return visit();
  } else if constexpr (count == 1) { auto& [f1] = value; return visit(f1);
  } else if constexpr (count == 2) { auto& [f1, f2] = value; return visit(f1, f2);
  } else if constexpr (count == 3) { auto& [f1, f2, f3] = value; return visit(f1, f2, f3);
  } else if constexpr (count == 4) { auto& [f1, f2, f3, f4] = value; return visit(f1, f2, f3, f4);
  } else if constexpr (count == 5) { auto& [f1, f2, f3, f4, f5] = value; return visit(f1, f2, f3,
    f4, f5);
  } else if constexpr (count == 6) { auto& [f1, f2, f3, f4, f5, f6] = value; return visit(f1, f2,
    f3, f4, f5, f6);
  } else if constexpr (count == 7) { auto& [f1, f2, f3, f4, f5, f6, f7] = value; return visit(f1,
    f2, f3, f4, f5, f6, f7);
  } else if constexpr (count == 8) { auto& [f1, f2, f3, f4, f5, f6, f7, f8] = value; return
    visit(f1, f2, f3, f4, f5, f6, f7, f8);
  } else if constexpr (count == 9) { auto& [f1, f2, f3, f4, f5, f6, f7, f8, f9] = value; return
    visit(f1, f2, f3, f4, f5, f6, f7, f8, f9);
  } else if constexpr (count == 10) { auto& [f1, f2, f3, f4, f5, f6, f7, f8, f9, f10] = value;
    return visit(f1, f2, f3, f4, f5, f6, f7, f8, f9, f10);
  } else if constexpr (count == 11) { auto& [f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11] =
    value; return visit(f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11);
  } else if constexpr (count == 12) { auto& [f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12] =
    value; return visit(f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12);
  } else if constexpr (count == 13) { auto& [f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12,
    f13] = value; return visit(f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13);
  } else if constexpr (count == 14) { auto& [f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12,
    f13, f14] = value; return visit(f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14);
  } else if constexpr (count == 15) { auto& [f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12,
    f13, f14, f15] = value; return visit(f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13,
    f14, f15);
  } else if constexpr (count == 16) { auto& [f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12,
    f13, f14, f15, f16] = value; return visit(f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12,
    f13, f14, f15, f16);
  } else if constexpr (count == 17) { auto& [f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12,
    f13, f14, f15, f16, f17] = value; return visit(f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11,
    f12, f13, f14, f15, f16, f17);
  } else if constexpr (count == 18) { auto& [f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12,
    f13, f14, f15, f16, f17, f18] = value; return visit(f1, f2, f3, f4, f5, f6, f7, f8, f9, f10,
    f11, f12, f13, f14, f15, f16, f17, f18);
  } else if constexpr (count == 19) { auto& [f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12,
    f13, f14, f15, f16, f17, f18, f19] = value; return visit(f1, f2, f3, f4, f5, f6, f7, f8, f9,
    f10, f11, f12, f13, f14, f15, f16, f17, f18, f19);
  } else if constexpr (count == 20) { auto& [f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12,
    f13, f14, f15, f16, f17, f18, f19, f20] = value; return visit(f1, f2, f3, f4, f5, f6, f7, f8,
    f9, f10, f11, f12, f13, f14, f15, f16, f17, f18, f19, f20);
  } else if constexpr (count == 21) { auto& [f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12,
    f13, f14, f15, f16, f17, f18, f19, f20, f21] = value; return visit(f1, f2, f3, f4, f5, f6, f7,
    f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18, f19, f20, f21);
  } else if constexpr (count == 22) { auto& [f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12,
    f13, f14, f15, f16, f17, f18, f19, f20, f21, f22] = value; return visit(f1, f2, f3, f4, f5, f6,
    f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18, f19, f20, f21, f22);
  } else if constexpr (count == 23) { auto& [f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12,
    f13, f14, f15, f16, f17, f18, f19, f20, f21, f22, f23] = value; return visit(f1, f2, f3, f4, f5,
    f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18, f19, f20, f21, f22, f23);
  } else if constexpr (count == 24) { auto& [f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12,
    f13, f14, f15, f16, f17, f18, f19, f20, f21, f22, f23, f24] = value; return visit(f1, f2, f3,
    f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18, f19, f20, f21, f22, f23,
    f24);
  } else if constexpr (count == 25) { auto& [f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12,
    f13, f14, f15, f16, f17, f18, f19, f20, f21, f22, f23, f24, f25] = value; return visit(f1, f2,
    f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18, f19, f20, f21, f22,
    f23, f24, f25);
  } else if constexpr (count == 26) { auto& [f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12,
    f13, f14, f15, f16, f17, f18, f19, f20, f21, f22, f23, f24, f25, f26] = value; return visit(f1,
    f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18, f19, f20, f21, f22,
    f23, f24, f25, f26);
  } else if constexpr (count == 27) { auto& [f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12,
    f13, f14, f15, f16, f17, f18, f19, f20, f21, f22, f23, f24, f25, f26, f27] = value; return
    visit(f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18, f19, f20,
    f21, f22, f23, f24, f25, f26, f27);
  } else if constexpr (count == 28) { auto& [f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12,
    f13, f14, f15, f16, f17, f18, f19, f20, f21, f22, f23, f24, f25, f26, f27, f28] = value; return
    visit(f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18, f19, f20,
    f21, f22, f23, f24, f25, f26, f27, f28);
  } else if constexpr (count == 29) { auto& [f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12,
    f13, f14, f15, f16, f17, f18, f19, f20, f21, f22, f23, f24, f25, f26, f27, f28, f29] = value;
    return visit(f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18,
    f19, f20, f21, f22, f23, f24, f25, f26, f27, f28, f29);
  } else if constexpr (count == 30) { auto& [f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12,
    f13, f14, f15, f16, f17, f18, f19, f20, f21, f22, f23, f24, f25, f26, f27, f28, f29, f30] =
    value; return visit(f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17,
    f18, f19, f20, f21, f22, f23, f24, f25, f26, f27, f28, f29, f30);
  } else if constexpr (count == 31) { auto& [f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12,
    f13, f14, f15, f16, f17, f18, f19, f20, f21, f22, f23, f24, f25, f26, f27, f28, f29, f30, f31] =
    value; return visit(f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17,
    f18, f19, f20, f21, f22, f23, f24, f25, f26, f27, f28, f29, f30, f31);
  } else if constexpr (count == 32) { auto& [f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12,
    f13, f14, f15, f16, f17, f18, f19, f20, f21, f22, f23, f24, f25, f26, f27, f28, f29, f30, f31,
    f32] = value; return visit(f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15,
    f16, f17, f18, f19, f20, f21, f22, f23, f24, f25, f26, f27, f28, f29, f30, f31, f32);
  }
  // clang-format on
}

template <class... Fields>
struct FieldTypes {};
struct CollectTypes {
  template <class... Fields>
  FieldTypes<std::remove_const_t<Fields>...> operator()(Fields&...) const {
    return {};
  }
};
/// FieldTypes<...> of T's fields.
template <class T>
using FieldTypesOf = decltype(visit_fields(std::declval<T&>(), CollectTypes{}));

}  // namespace reeve::codec::detail
