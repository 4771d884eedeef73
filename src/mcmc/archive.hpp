// Fields as bytes and back, with a checksum: what all checkpoints are made of. Internal.
#pragma once

#include <reeve/base/error.hpp>
#include <reeve/mcmc/density.hpp>
#include <reeve/mcmc/run.hpp>

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace reeve::mcmc::detail {

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

struct Reader {
  std::string_view bytes;
  void take(void* to, std::size_t count) {
    if (bytes.size() < count) throw ConfigError("the checkpoint ends too early; it is damaged");
    if (count > 0) std::memcpy(to, bytes.data(), count);
    bytes.remove_prefix(count);
  }
  template <class T>
    requires std::is_trivially_copyable_v<T>
  void operator()(T& x) {
    take(&x, sizeof x);
  }
  template <class T>
  void operator()(std::vector<T>& x) {
    std::size_t count = 0;
    take(&count, sizeof count);
    if (count > bytes.size() / sizeof(T))
      throw ConfigError("the checkpoint is damaged: a length is too large");
    x.resize(count);
    take(x.data(), count * sizeof(T));
  }
};

/// The beginning of a checkpoint: `magic`, and what the density is, as far as bytes can tell
/// (names, and the value at a fixed point).
Writer begin_checkpoint(std::string_view magic, const Density& density);
/// The bytes with their checksum behind them.
std::string seal(Writer writer);
/// A reader behind the beginning. Errors: ConfigError for other bytes, damage, another density.
Reader open_checkpoint(std::string_view bytes, std::string_view magic, const Density& density);

/// Draws and figures of a chain, to or from an archive, without padding bytes: equal states are
/// equal bytes.
template <class Archive>
void visit_chain(Archive& archive, Chain& chain) {
  archive(chain.q);
  std::vector<double> flat;
  for (const auto& s : chain.stats)
    flat.insert(flat.end(), {s.lp, s.accept_stat, s.stepsize, s.energy, double(s.treedepth),
                             double(s.n_leapfrog), double(s.divergent)});
  archive(flat);
  chain.stats.resize(flat.size() / 7);
  for (std::size_t i = 0; i < chain.stats.size(); ++i) {
    const double* f = flat.data() + 7 * i;
    chain.stats[i] = {f[0], f[1], f[2], f[3], std::uint32_t(f[4]), std::uint32_t(f[5]), f[6] != 0};
  }
}

}  // namespace reeve::mcmc::detail
