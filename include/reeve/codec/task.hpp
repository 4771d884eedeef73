// Callables as tasks: descriptors, thunks, and what a caller writes for a call or a chunk of calls.
#pragma once

#include <reeve/codec/codec.hpp>
#include <reeve/codec/function_id.hpp>

#include <exception>
#include <functional>
#include <ranges>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

namespace reeve::codec {

/// A function known at compile time as an empty callable: `FunctionConstant<&simulate>`.
template <auto Fn>
struct FunctionConstant {
  template <class... Args>
    requires std::is_invocable_v<decltype(Fn), Args...>
  decltype(auto) operator()(Args&&... args) const {
    return std::invoke(Fn, std::forward<Args>(args)...);
  }
};

/// An item of a chunk failed: `capture` and `encode_exception` report the index and the cause.
struct ItemFailure {
  std::size_t index;
  std::exception_ptr cause;
};

/// Called before each item of a chunk with the number of items done; false stops the chunk there.
using BetweenItems = bool (*)(std::size_t done);

/// Sets the hook of the calling thread (null: none) and returns the one before.
BetweenItems exchange_between_items(BetweenItems hook) noexcept;

namespace detail {

BetweenItems between_items() noexcept;

template <class T>
struct Encoded {
  using type = T;
};
template <>
struct Encoded<const char*> {
  using type = std::string;
};
template <>
struct Encoded<char*> {
  using type = std::string;
};
template <class T>
struct Encoded<std::span<T>> {
  using type = std::span<const T>;
};

/// The type that an argument has on its way: decayed; C strings are strings, spans are read-only.
template <class T>
using EncodedArg = typename Encoded<std::decay_t<T>>::type;

template <class F>
inline constexpr bool is_function_pointer =
    std::is_pointer_v<F> && std::is_function_v<std::remove_pointer_t<F>>;

template <class F, class... Args>
struct Invoked {
  using type = void;
};
template <class F, class... Args>
  requires std::is_invocable_v<F, Args...>
struct Invoked<F, Args...> {
  using type = std::remove_cv_t<std::invoke_result_t<F, Args...>>;
};

/// What keeps a call from travelling; the first of them is told.
enum class Mistake { none, captures, not_remade, argument, call, reference, result };

template <class F, class... Args>
consteval Mistake find_mistake() {
  if constexpr (!is_function_pointer<F> && !std::is_empty_v<F>) {
    return Mistake::captures;
  } else if constexpr (!is_function_pointer<F> && !std::is_default_constructible_v<F>) {
    return Mistake::not_remade;
  } else if constexpr (!(Argument<Args> && ...)) {
    return Mistake::argument;
  } else if constexpr (!std::is_invocable_v<F, Args...>) {
    return Mistake::call;
  } else {
    using R = std::invoke_result_t<F, Args...>;
    if constexpr (std::is_void_v<R>) {
      return Mistake::none;
    } else if constexpr (std::is_reference_v<R>) {
      return Mistake::reference;
    } else {
      return Result<std::remove_cv_t<R>> ? Mistake::none : Mistake::result;
    }
  }
}

/// One sentence per mistake, told once per task: it is a class so that it is looked at only once.
template <class F, class... Args>
struct TaskCheck {
  static constexpr Mistake mistake = find_mistake<F, Args...>();
  static constexpr bool passed = mistake == Mistake::none;

  static_assert(mistake != Mistake::captures,
                "reeve: this callable captures or holds data, which stays behind when it travels "
                "to a worker: use a lambda without captures and pass the data as arguments.");
  static_assert(mistake != Mistake::not_remade,
                "reeve: this callable cannot be made anew in the worker ([&] and [=] count even "
                "when they capture nothing): write the capture list as [] and pass data as "
                "arguments.");
  static_assert(mistake != Mistake::argument,
                "reeve: an argument has no byte form (pointer, reference, handle, or class with "
                "private members): pass std::string, std::vector, an aggregate or "
                "std::span<const T>, or specialise reeve::codec::Codec.");
  static_assert(mistake != Mistake::call,
                "reeve: the function cannot be called with these arguments. They arrive in the "
                "worker as values (rvalues): take them by value or const reference, not by T&; C "
                "strings arrive as std::string, spans as std::span<const T>.");
  static_assert(mistake != Mistake::reference,
                "reeve: a task must not return a reference: what it refers to stays in the worker. "
                "Return a value.");
  static_assert(mistake != Mistake::result,
                "reeve: the result of this task has no owning byte form. Instead of a pointer, "
                "span or string_view return std::vector, std::string or an aggregate; or "
                "specialise reeve::codec::Codec.");
};

/// The same for a function over items.
template <class F, class Range, bool Ranged = std::ranges::forward_range<Range>>
struct MapCheck {
  static constexpr bool passed = false;
  static_assert(Ranged,
                "reeve: map goes over items that can be counted: pass a std::vector or another "
                "forward range of values as the argument after the function.");
};
template <class F, class Range>
struct MapCheck<F, Range, true> {
  using Item = EncodedArg<std::ranges::range_value_t<Range>>;
  static constexpr bool travels = TaskCheck<std::decay_t<F>, Item>::passed;
  static constexpr bool gives =
      !travels || !std::is_void_v<typename Invoked<std::decay_t<F>, Item>::type>;
  static constexpr bool passed = travels && gives;
  static_assert(gives,
                "reeve: map collects results, and this function returns nothing: let it return a "
                "value, or call run for each item.");
};

/// What a call that was refused gives instead of its result, so that no other error follows.
struct Refused {
  template <class T>
  operator T() const;
};

// The callable in the worker: made anew, or read from the message as a checked code id.
template <class F>
F take_callable(Reader& reader) {
  if constexpr (is_function_pointer<F>) {
    FunctionId id;
    id.module = reader.read_size();
    id.offset = reader.read_size();
    return reinterpret_cast<F>(reinterpret_cast<std::uintptr_t>(resolve_code(id)));
  } else {
    return F{};
  }
}

template <class F>
void put_callable(Writer& writer, F function) {
  if constexpr (is_function_pointer<F>) {
    const FunctionId id = identify_code(reinterpret_cast<const void*>(function));
    writer.write_size(id.module);
    writer.write_size(id.offset);
  }
}

template <class R, class F, class... Args>
void call_and_encode(Writer& writer, F&& function, Args&&... args) {
  if constexpr (std::is_void_v<R>) {
    std::invoke(function, std::forward<Args>(args)...);
  } else {
    encode_value<R>(writer, std::invoke(function, std::forward<Args>(args)...));
  }
}

/// One call of F with arguments that arrive as Args.
template <class F, class... Args>
struct CallTask {
  static void call(Reader& reader, Writer& writer) {
    using R = typename Invoked<F, Args...>::type;
    F function = take_callable<F>(reader);
    std::tuple<Args...> arguments{decode_value<Args>(reader)...};
    reader.finish();
    std::apply([&](Args&... args) { call_and_encode<R>(writer, function, std::move(args)...); },
               arguments);
  }
  static inline constinit IdentityCache cache{};
  static const TaskDescriptor descriptor;
};
template <class F, class... Args>
constinit const TaskDescriptor CallTask<F, Args...>::descriptor{
    {descriptor_magic[0], descriptor_magic[1]},
    &CallTask::descriptor,
    &CallTask::call,
    &CallTask::cache};

/// F on each of a sequence of items: count, then results one after another.
template <class F, class Item>
struct ChunkTask {
  static void call(Reader& reader, Writer& writer) {
    using R = typename Invoked<F, Item>::type;
    F function = take_callable<F>(reader);
    const std::size_t count = reader.read_count(count_unit<Item>);
    const std::size_t start = writer.size();
    writer.write_size(0);
    std::size_t done = 0;
    for (; done < count; ++done) {
      const BetweenItems hook = between_items();
      if (hook != nullptr && !hook(done)) break;
      Item item = decode_value<Item>(reader);
      try {
        call_and_encode<R>(writer, function, std::move(item));
      } catch (...) {
        throw ItemFailure{done, std::current_exception()};
      }
    }
    writer.patch_size(start, done);
  }
  static inline constinit IdentityCache cache{};
  static const TaskDescriptor descriptor;
};
template <class F, class Item>
constinit const TaskDescriptor ChunkTask<F, Item>::descriptor{
    {descriptor_magic[0], descriptor_magic[1]},
    &ChunkTask::descriptor,
    &ChunkTask::call,
    &ChunkTask::cache};

}  // namespace detail

/// Everything a caller needs for one call of F (captureless lambda, function object, function
/// pointer, `FunctionConstant<Fn>`) with Args as passed:
///
///     using Call = CallTraits<F, Args...>;
///     FunctionId id = identify(Call::descriptor());
///     Call::encode_arguments(writer, f, args...);
///     ... in the worker: resolve(id).call(reader, writer); ...
///     Call::result r = Call::decode_result(reader);
template <class F, class... Args>
struct CallTraits {
  using callable = std::decay_t<F>;
  using result = typename detail::Invoked<callable, detail::EncodedArg<Args>...>::type;

  static const TaskDescriptor& descriptor() {
    static_assert(sizeof(detail::TaskCheck<callable, detail::EncodedArg<Args>...>) > 0);
    return detail::CallTask<callable, detail::EncodedArg<Args>...>::descriptor;
  }

  /// Errors: EncodeError, FunctionError (a pointer that is no function's start).
  static void encode_arguments(Writer& writer, const callable& function,
                               const std::remove_reference_t<Args>&... args) {
    detail::put_callable(writer, function);
    (encode_argument<detail::EncodedArg<Args>>(writer, args), ...);
  }

  /// Errors: DecodeError.
  static result decode_result(Reader& reader) {
    if constexpr (std::is_void_v<result>) {
      reader.finish();
    } else {
      result value = detail::decode_value<result>(reader);
      reader.finish();
      return value;
    }
  }

 private:
  template <class E, class A>
  static void encode_argument(Writer& writer, const A& argument) {
    if constexpr (std::is_same_v<E, std::remove_cv_t<A>>) {
      detail::encode_value<E>(writer, argument);
    } else if constexpr (std::is_same_v<E, std::string>) {  // same bytes as the string, without
                                                            // making one
      if constexpr (std::is_pointer_v<A>) {
        if (argument == nullptr) detail::throw_null_string();
      }
      const std::string_view text(argument);
      writer.write_size(text.size());
      writer.write(text.data(), text.size());
    } else {
      detail::encode_value<E>(writer, E(argument));
    }
  }
};

/// A run of F over items of one type, for map: the reply is the count of results, then the results.
template <class F, class Item>
struct ChunkTraits {
  using callable = std::decay_t<F>;
  using item = detail::EncodedArg<Item>;
  using result = typename detail::Invoked<callable, item>::type;

  static const TaskDescriptor& descriptor() {
    static_assert(sizeof(detail::TaskCheck<callable, item>) > 0);
    return detail::ChunkTask<callable, item>::descriptor;
  }

  /// Writes the items of [first, last), of which there are `count`.
  template <class Iterator>
  static void encode_items(Writer& writer, const callable& function, Iterator first,
                           std::size_t count) {
    detail::put_callable(writer, function);
    writer.write_size(count);
    for (std::size_t i = 0; i < count; ++i, ++first) {
      if constexpr (std::is_same_v<item, std::remove_cvref_t<decltype(*first)>>) {
        detail::encode_value<item>(writer, *first);
      } else {
        detail::encode_value<item>(writer, item(*first));
      }
    }
  }

  /// Appends the results of a reply to `results` and returns their number: less than `count_max` if
  /// the chunk was stopped. Errors: DecodeError, also for more than `count_max` results.
  template <class Results>
  static std::size_t decode_results(Reader& reader, std::size_t count_max, Results& results)
    requires(!std::is_void_v<result>)
  {
    const std::size_t count = decode_count(reader, count_max);
    for (std::size_t i = 0; i < count; ++i) results.push_back(detail::decode_value<result>(reader));
    reader.finish();
    return count;
  }

  /// The number of items done, when F returns nothing.
  static std::size_t decode_count(Reader& reader, std::size_t count_max) {
    const std::uint64_t count = reader.read_size();
    if (count > count_max) detail::throw_invalid("the number of results", count);
    return static_cast<std::size_t>(count);
  }
};

}  // namespace reeve::codec
