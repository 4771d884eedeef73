// Fields as bytes and back, with a checksum: what all checkpoints are made of. Internal.
#pragma once

#include <reeve/base/error.hpp>
#include <reeve/mcmc/density.hpp>
#include <reeve/mcmc/run.hpp>

#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace reeve::mcmc::detail {

[[noreturn]] inline void damaged(const char* how) {
  throw ConfigError(std::string("the checkpoint is damaged: ") + how + "; start anew");
}

struct Writer {
  std::string bytes;
  template <class T>
    requires std::is_trivially_copyable_v<T>
  void operator()(const T& x) {
    bytes.append(reinterpret_cast<const char*>(&x), sizeof x);
  }
  template <class T>
  void operator()(const std::vector<T>& x) {
    (*this)(x.size());
    bytes.append(reinterpret_cast<const char*>(x.data()), x.size() * sizeof(T));
  }
};

/// How many bytes a Writer would write: with as many in reserve nothing is copied on the way.
struct Counter {
  std::size_t bytes = 0;
  template <class T>
    requires std::is_trivially_copyable_v<T>
  void operator()(const T& x) {
    bytes += sizeof x;
  }
  template <class T>
  void operator()(const std::vector<T>& x) {
    bytes += sizeof(x.size()) + x.size() * sizeof(T);
  }
};

struct Reader {
  std::string_view bytes;
  void take(void* to, std::size_t count) {
    if (bytes.size() < count) damaged("it ends too early");
    if (count > 0) std::memcpy(to, bytes.data(), count);
    bytes.remove_prefix(count);
  }
  template <class T>
    requires std::is_trivially_copyable_v<T>
  void operator()(T& x) {
    take(&x, sizeof x);
  }
  void operator()(bool& x) {
    char byte = 0;
    take(&byte, 1);
    x = byte != 0;
  }
  void end() const {
    if (!bytes.empty()) damaged("something follows its end");
  }
  template <class T>
  void operator()(std::vector<T>& x) {
    std::size_t count = 0;
    take(&count, sizeof count);
    if (count > bytes.size() / sizeof(T)) damaged("a length is too large");
    x.resize(count);
    take(x.data(), count * sizeof(T));
  }
};

/// The beginning of a checkpoint: `magic`, and what the density is, as far as bytes can tell
/// (names, and the value at a fixed point). `room`: bytes that will follow.
Writer begin_checkpoint(std::string_view magic, const Density& density, std::size_t room = 0);
/// The bytes with their checksum behind them.
std::string seal(Writer writer);
/// A reader behind the beginning. Errors: ConfigError for other bytes, damage, another density.
Reader open_checkpoint(std::string_view bytes, std::string_view magic, const Density& density);

/// Draws and figures of a chain, to or from an archive, without padding bytes: equal states are
/// equal bytes. A draw's figures are seven doubles.
using DrawFields = std::array<double, 7>;

inline void visit_chain(Counter& archive, const Chain& chain) {
  archive(chain.q);
  archive.bytes += sizeof(std::size_t) + chain.stats.size() * sizeof(DrawFields);
}
inline void visit_chain(Writer& archive, const Chain& chain) {
  archive(chain.q);
  archive(7 * chain.stats.size());
  for (const auto& s : chain.stats)
    archive(DrawFields{s.lp, s.accept_stat, s.stepsize, s.energy, double(s.treedepth),
                       double(s.n_leapfrog), double(s.divergent)});
}
inline void visit_chain(Reader& archive, Chain& chain) {
  archive(chain.q);
  std::size_t count = 0;
  archive(count);
  if (count > archive.bytes.size() / sizeof(double)) damaged("a length is too large");
  chain.stats.resize(count / 7);
  for (auto& s : chain.stats) {
    DrawFields f;
    archive(f);
    for (const double whole : {f[4], f[5]})
      if (!(whole >= 0 && whole <= double(UINT32_MAX))) damaged("a count is not a number");
    s = {f[0], f[1], f[2], f[3], std::uint32_t(f[4]), std::uint32_t(f[5]), f[6] != 0};
  }
}

}  // namespace reeve::mcmc::detail
