// Takes ResourceConfig apart by structured bindings: with a new field this does not compile, so
// none can be forgotten.
#include "manager/pool_key.hpp"

#include <cstring>
#include <functional>
#include <string_view>
#include <tuple>

namespace reeve::detail {
namespace {

auto fields_of(const RecyclePolicy& policy) noexcept {
  const auto& [tasks, age, growth] = policy;
  return std::tie(tasks, age, growth);
}

auto fields_of(const ResourceConfig& config) noexcept {
  const auto& [workers, timeout, memory, devices, isolation, least, idle, acquire, waiters, message,
               hard, watch, gpu, recycle, bind, initializer, environment, folder, mask, nice,
               output, capabilities, cgroup, exec, spin, quarantine, ring, sink] = config;
  return std::tie(workers, timeout, memory, devices, isolation, least, idle, acquire, waiters,
                  message, hard, watch, gpu, recycle, bind, initializer, environment, folder, mask,
                  nice, output, capabilities, cgroup, exec, spin, quarantine, ring, sink);
}

class Hasher {
 public:
  std::size_t value() const noexcept { return state_; }

  template <class T>
    requires(std::is_integral_v<T> || std::is_enum_v<T>)
  void operator()(const T& value) noexcept {
    mix(static_cast<std::uint64_t>(value));
  }
  void operator()(const std::string& text) noexcept { mix(std::hash<std::string_view>{}(text)); }
  void operator()(ByteSize size) noexcept { mix(size.bytes()); }
  template <class Period>
  void operator()(std::chrono::duration<std::int64_t, Period> time) noexcept {
    mix(static_cast<std::uint64_t>(time.count()));
  }
  template <class T>
  void operator()(const std::vector<T>& values) noexcept {
    mix(values.size());
    for (const T& value : values) (*this)(value);
  }
  template <class A, class B>
  void operator()(const std::pair<A, B>& value) noexcept {
    (*this)(value.first);
    (*this)(value.second);
  }
  template <class T>
  void operator()(const std::optional<T>& value) noexcept {
    mix(value.has_value());
    if (value) (*this)(*value);
  }
  void operator()(const std::shared_ptr<audit::Sink>& sink) noexcept {
    mix(reinterpret_cast<std::uintptr_t>(sink.get()));
  }
  void operator()(const Initializer& initializer) noexcept {
    mix(initializer ? 1 : 0);
    if (!initializer) return;
    mix(reinterpret_cast<std::uintptr_t>(initializer.call()->task));
    const auto bytes = initializer.call()->arguments.bytes();
    mix(std::hash<std::string_view>{}({reinterpret_cast<const char*>(bytes.data()), bytes.size()}));
  }
  void operator()(const RecyclePolicy& policy) noexcept { take(fields_of(policy)); }

  template <class... Fields>
  void take(const std::tuple<Fields...>& fields) noexcept {
    std::apply([this](const auto&... field) { ((*this)(field), ...); }, fields);
  }

 private:
  void mix(std::uint64_t value) noexcept {
    state_ = (state_ ^ value) * 0x9E3779B97F4A7C15ULL;
    state_ ^= state_ >> 32;
  }
  std::uint64_t state_ = 0xCBF29CE484222325ULL;
};

template <class T>
bool same_value(const T& a, const T& b) noexcept {
  return a == b;
}

bool same_value(const Initializer& a, const Initializer& b) noexcept {
  if (a.call() == b.call()) return true;
  if (!a || !b || a.call()->task != b.call()->task) return false;
  const auto left = a.call()->arguments.bytes();
  const auto right = b.call()->arguments.bytes();
  return left.size() == right.size() &&
         (left.empty() || std::memcmp(left.data(), right.data(), left.size()) == 0);
}

bool same_value(const RecyclePolicy& a, const RecyclePolicy& b) noexcept {
  return fields_of(a) == fields_of(b);
}

template <class... Fields, std::size_t... I>
bool same_fields(const std::tuple<Fields...>& a, const std::tuple<Fields...>& b,
                 std::index_sequence<I...>) noexcept {
  return (same_value(std::get<I>(a), std::get<I>(b)) && ...);
}

}  // namespace

std::size_t hash_of(const PoolKey& key) noexcept {
  Hasher hasher;
  hasher.take(fields_of(key.config));
  hasher(key.label);
  return hasher.value();
}

bool same(const PoolKey& a, const PoolKey& b) noexcept {
  const auto left = fields_of(a.config);
  return same_fields(left, fields_of(b.config),
                     std::make_index_sequence<std::tuple_size_v<decltype(left)>>()) &&
         a.label == b.label;
}

}  // namespace reeve::detail
