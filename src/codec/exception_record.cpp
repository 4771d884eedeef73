// Walks an exception and what is nested in it, without allocating on the way.
#include <reeve/codec/exception_record.hpp>
#include <reeve/codec/task.hpp>

#include <cxxabi.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <new>
#include <string_view>
#include <system_error>
#include <typeinfo>

namespace reeve::codec {
namespace {

struct KnownType {
  const std::type_info* type;
  StandardException standard;
  std::exception_ptr (*make)(const char* what);
};

template <class E>
std::exception_ptr make_with_text(const char* what) {
  return std::make_exception_ptr(E(what));
}
template <class E>
std::exception_ptr make_plain(const char*) {
  return std::make_exception_ptr(E());
}

template <class E>
constexpr KnownType text_row(StandardException standard) {
  return {&typeid(E), standard, &make_with_text<E>};
}
template <class E>
constexpr KnownType plain_row(StandardException standard) {
  return {&typeid(E), standard, &make_plain<E>};
}

using S = StandardException;
const KnownType known_types[] = {
    text_row<std::runtime_error>(S::runtime_error),
    text_row<std::logic_error>(S::logic_error),
    text_row<std::invalid_argument>(S::invalid_argument),
    text_row<std::domain_error>(S::domain_error),
    text_row<std::length_error>(S::length_error),
    text_row<std::out_of_range>(S::out_of_range),
    text_row<std::range_error>(S::range_error),
    text_row<std::overflow_error>(S::overflow_error),
    text_row<std::underflow_error>(S::underflow_error),
    {&typeid(std::system_error), S::system_error, nullptr},
    plain_row<std::bad_alloc>(S::bad_alloc),
    plain_row<std::bad_array_new_length>(S::bad_array_new_length),
    plain_row<std::bad_variant_access>(S::bad_variant_access),
    plain_row<std::bad_optional_access>(S::bad_optional_access),
    plain_row<std::bad_cast>(S::bad_cast),
    plain_row<std::bad_typeid>(S::bad_typeid),
    plain_row<std::bad_function_call>(S::bad_function_call),
    plain_row<std::bad_weak_ptr>(S::bad_weak_ptr),
    plain_row<std::bad_exception>(S::bad_exception),
    plain_row<std::exception>(S::exception),
};

StandardException classify(const std::type_info& type) noexcept {
  for (const KnownType& known : known_types) {
    if (*known.type == type) return known.standard;
  }
  return S::none;
}

// One level as views into the live exception.
struct LevelView {
  std::string_view type;
  std::string_view what;
  StandardException standard = S::none;
  ErrorCategory category = ErrorCategory::other;
  std::int32_t code = 0;
  bool truncated = false;
};

// The readable name of a type; without memory, the mangled one.
class TypeName {
 public:
  explicit TypeName(const std::type_info* type) noexcept {
    if (type == nullptr) return;
    int status = 0;
    demangled_ = abi::__cxa_demangle(type->name(), nullptr, nullptr, &status);
    text_ = demangled_ != nullptr ? demangled_ : type->name();
    constexpr std::string_view wrapper = "std::_Nested_exception<";
    if (text_.starts_with(wrapper) &&
        text_.ends_with('>')) {  // what throw_with_nested makes of a T
      text_ = text_.substr(wrapper.size(), text_.size() - wrapper.size() - 1);
    }
  }
  ~TypeName() { std::free(demangled_); }
  TypeName(const TypeName&) = delete;
  TypeName& operator=(const TypeName&) = delete;
  std::string_view text() const noexcept { return text_; }

 private:
  char* demangled_ = nullptr;
  std::string_view text_ = "unknown type";
};

void cut(LevelView& level, std::string_view& text) noexcept {
  if (text.size() <= exception_text_max) return;
  text = text.substr(0, exception_text_max);
  level.truncated = true;
}

void describe_standard(LevelView& level, const std::exception& error) {
  const char* what = error.what();
  level.what = what != nullptr ? std::string_view(what) : std::string_view();
  cut(level, level.what);
  level.standard = classify(typeid(error));
  if (const auto* system = dynamic_cast<const std::system_error*>(&error)) {
    level.code = system->code().value();
    const auto& category = system->code().category();
    if (category == std::generic_category()) level.category = ErrorCategory::generic;
    if (category == std::system_category()) level.category = ErrorCategory::system;
    if (level.category == ErrorCategory::other) level.standard = S::none;
  }
}

std::exception_ptr nested_in(const std::exception& error) noexcept {
  const auto* nested = dynamic_cast<const std::nested_exception*>(&error);
  return nested != nullptr ? nested->nested_ptr() : nullptr;
}

// Calls sink(level) for the exception; returns what is nested in it.
template <class Sink>
std::exception_ptr visit_level(const std::exception_ptr& error, Sink&& sink) {
  LevelView level;
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    const TypeName name(&typeid(e));
    level.type = name.text();
    cut(level, level.type);
    describe_standard(level, e);
    sink(level);
    return nested_in(e);
  } catch (const std::string& text) {
    level.type = "std::string";
    level.what = text;
    cut(level, level.what);
    sink(level);
  } catch (const char* text) {
    level.type = "char const*";
    level.what = text != nullptr ? text : "";
    cut(level, level.what);
    sink(level);
  } catch (int value) {
    char digits[16];
    const int size = std::snprintf(digits, sizeof digits, "%d", value);
    level.type = "int";
    level.what = std::string_view(digits, static_cast<std::size_t>(size));
    sink(level);
  } catch (...) {
    const TypeName name(abi::__cxa_current_exception_type());
    level.type = name.text();
    cut(level, level.type);
    sink(level);
  }
  return nullptr;
}

// An ItemFailure is taken off first: index, then the cause.
std::optional<std::uint64_t> take_item(std::exception_ptr& error) noexcept {
  try {
    std::rethrow_exception(error);
  } catch (const ItemFailure& failure) {
    const std::uint64_t index = failure.index;
    const std::exception_ptr cause = failure.cause;
    error = cause;
    return index;
  } catch (...) {
    return std::nullopt;
  }
}

// Calls sink(level) for each level, outermost first; true if there were more than fit.
template <class Sink>
bool visit_levels(std::exception_ptr error, Sink&& sink) {
  for (std::size_t i = 0; error != nullptr; ++i) {
    if (i == exception_levels_max) return true;
    error = visit_level(error, sink);
  }
  return false;
}

void write_text(Writer& writer, std::string_view text) {
  writer.write_size(text.size());
  writer.write(text.data(), text.size());
}

void write_level(Writer& writer, const LevelView& level) {
  write_text(writer, level.type);
  write_text(writer, level.what);
  encode(writer, level.standard, level.category, level.code);
}

constexpr std::size_t least_level_size = 8 + 8 + 1 + 1 + 4;

void append_fallback(ExceptionRecord& record, const std::exception_ptr& error) noexcept {
  try {
    record.truncated = true;
    record.levels.clear();
    record.levels.resize(1);
    visit_level(error, [&](const LevelView& level) {
      const std::size_t in_place = std::string().capacity();
      record.levels[0].standard = level.standard;
      record.levels[0].category = level.category;
      record.levels[0].code = level.code;
      record.levels[0].type = level.type.substr(0, in_place);
      record.levels[0].what = level.what.substr(0, in_place);
    });
  } catch (...) {
  }
}

const std::string empty_text;

}  // namespace

const std::string& ExceptionRecord::type() const noexcept {
  return levels.empty() ? empty_text : levels.front().type;
}
const std::string& ExceptionRecord::what() const noexcept {
  return levels.empty() ? empty_text : levels.front().what;
}

ExceptionRecord capture(std::exception_ptr error) noexcept {
  ExceptionRecord record;
  if (error == nullptr) return record;
  record.item = take_item(error);
  try {
    const bool more = visit_levels(error, [&](const LevelView& level) {
      record.truncated |= level.truncated;
      record.levels.push_back(ExceptionLevel{std::string(level.type), std::string(level.what),
                                             level.standard, level.category, level.code});
    });
    record.truncated |= more;
  } catch (...) {
    append_fallback(record, error);
  }
  return record;
}

void encode_exception(Writer& writer, std::exception_ptr error) {
  const std::optional<std::uint64_t> item = error != nullptr ? take_item(error) : std::nullopt;
  encode(writer, item.has_value(), item.value_or(0));
  const std::size_t start = writer.size();
  writer.write_size(0);
  std::uint64_t count = 0;
  bool truncated = false;
  truncated |= visit_levels(error, [&](const LevelView& level) {
    write_level(writer, level);
    truncated |= level.truncated;
    ++count;
  });
  writer.patch_size(start, count);
  encode(writer, truncated);
}

void Codec<ExceptionRecord>::encode(Writer& writer, const ExceptionRecord& record) {
  codec::encode(writer, record.item.has_value(), record.item.value_or(0));
  writer.write_size(record.levels.size());
  for (const ExceptionLevel& l : record.levels) {
    write_level(writer, LevelView{l.type, l.what, l.standard, l.category, l.code, false});
  }
  codec::encode(writer, record.truncated);
}

ExceptionRecord Codec<ExceptionRecord>::decode(Reader& reader) {
  ExceptionRecord record;
  const bool has_item = codec::decode<bool>(reader);
  const auto item = codec::decode<std::uint64_t>(reader);
  if (has_item) record.item = item;
  const std::size_t count = reader.read_count(least_level_size);
  if (count > exception_levels_max) detail::throw_invalid("the number of nested exceptions", count);
  record.levels.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    ExceptionLevel level;
    level.type = codec::decode<std::string>(reader);
    level.what = codec::decode<std::string>(reader);
    level.standard = codec::decode<StandardException>(reader);
    level.category = codec::decode<ErrorCategory>(reader);
    if (level.standard > S::exception)
      detail::throw_invalid("a standard exception", static_cast<int>(level.standard));
    if (level.category > ErrorCategory::system) {
      detail::throw_invalid("an error category", static_cast<int>(level.category));
    }
    level.code = codec::decode<std::int32_t>(reader);
    record.levels.push_back(std::move(level));
  }
  record.truncated = codec::decode<bool>(reader);
  return record;
}

std::exception_ptr make_standard(const ExceptionRecord& record) {
  if (record.levels.size() != 1) return nullptr;
  const ExceptionLevel& level = record.levels.front();
  if (level.standard == S::system_error) {
    const auto& category =
        level.category == ErrorCategory::generic ? std::generic_category() : std::system_category();
    const std::error_code code(level.code, category);
    std::string text = level.what;  // the constructor appends the code's text again
    const std::string suffix = code.message();
    if (text.ends_with(suffix)) text.resize(text.size() - suffix.size());
    if (text.ends_with(": ")) text.resize(text.size() - 2);
    return text.empty() ? std::make_exception_ptr(std::system_error(code))
                        : std::make_exception_ptr(std::system_error(code, text));
  }
  for (const KnownType& known : known_types) {
    if (known.standard == level.standard && known.make != nullptr)
      return known.make(level.what.c_str());
  }
  return nullptr;
}

}  // namespace reeve::codec
