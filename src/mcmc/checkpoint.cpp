// A sampler as bytes and back, and the file that survives a kill.
#include "mcmc/state.hpp"

#include <reeve/base/error.hpp>
#include <reeve/mcmc/atomic_file.hpp>

#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <iterator>

namespace reeve::mcmc {
namespace {

constexpr std::string_view magic = "reeve.mcmc.1\n";

std::uint64_t hash(std::string_view text) noexcept {  // FNV-1a
  std::uint64_t h = 0xcbf29ce484222325ULL;
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return h;
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

// What the density is, as far as bytes can tell: names, and the value at a fixed point.
std::uint64_t fingerprint(const Density& density) {
  std::string text = fmt::format("{};{};", density.dimension(), density.has_gradient());
  for (const auto& name : density.parameters().names()) text += name + ";";
  const std::vector<double> q(density.dimension(), 0.1);
  return hash(text + fmt::format("{}", density.value(q)));
}

// Every field by itself, so that no padding byte enters the file.
template <class Archive>
void visit_options(Archive& a, SampleOptions& o) {
  a(o.algorithm), a(o.metric), a(o.adaptation), a(o.chains), a(o.warmup), a(o.draws), a(o.seed);
  a(o.target_accept), a(o.max_depth), a(o.leapfrogs), a(o.init_radius), a(o.target_ess);
  a(o.checks.rhat_limit), a(o.checks.ess_per_chain), a(o.checks.divergent_fraction),
      a(o.checks.e_bfmi);
  a(o.checks.max_depth_fraction);
}

}  // namespace

std::string Sampler::checkpoint() const {
  Writer writer;
  writer.bytes = magic;
  writer(fingerprint(state_->density));
  visit_options(writer, state_->options);
  state_->visit(writer);
  writer(hash(writer.bytes));
  return std::move(writer.bytes);
}

Sampler Sampler::resume(Density density, std::string_view bytes) {
  if (!bytes.starts_with(magic) || bytes.size() < magic.size() + 16)
    throw ConfigError("these bytes are not a checkpoint of this version of reeve::mcmc");
  std::uint64_t sum = 0, print = 0;
  std::memcpy(&sum, bytes.data() + bytes.size() - sizeof sum, sizeof sum);
  bytes.remove_suffix(sizeof sum);
  if (sum != hash(bytes))
    throw ConfigError("the checkpoint is damaged: its checksum does not fit; start anew");
  Reader reader{bytes.substr(magic.size())};
  reader(print);
  if (print != fingerprint(density))
    throw ConfigError("the checkpoint belongs to another density or other data; start anew");
  SampleOptions options;
  visit_options(reader, options);
  auto state = std::make_unique<State>(std::move(density), options);
  state->visit(reader);
  return Sampler(std::move(state));
}

Run sample_resumable(const Density& density, const SampleOptions& options, const std::string& path,
                     const StopWhen& stop, std::size_t every) {
  if (every == 0) throw ConfigError("every is 0; write a checkpoint every 1 or more transitions");
  Sampler sampler(density, options);
  if (std::ifstream file(path, std::ios::binary); file) {
    const std::string bytes{std::istreambuf_iterator<char>(file), {}};
    sampler = Sampler::resume(density, bytes);
  }
  while (!sampler.advance(stop, every)) {
    replace_file(path, sampler.checkpoint());
    if (sampler.stopped() != Status::ok) return sampler.result();
  }
  Run run = sampler.result();
  std::remove(path.c_str());
  return run;
}

}  // namespace reeve::mcmc
