// The frame of a checkpoint: whose it is, and whether it is whole.
#include "mcmc/archive.hpp"

#include <fmt/format.h>

namespace reeve::mcmc::detail {
namespace {

std::uint64_t hash(std::string_view text) noexcept {  // FNV-1a
  std::uint64_t h = 0xcbf29ce484222325ULL;
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return h;
}

std::uint64_t fingerprint(const Density& density) {
  std::string text = fmt::format("{};{};", density.dimension(), density.has_gradient());
  for (const auto& name : density.parameters().names()) text += name + ";";
  const std::vector<double> q(density.dimension(), 0.1);
  return hash(text + fmt::format("{}", density.value(q)));
}

}  // namespace

Writer begin_checkpoint(std::string_view magic, const Density& density, std::size_t room) {
  Writer writer;
  writer.bytes.reserve(magic.size() + room + 2 * sizeof(std::uint64_t));
  writer.bytes = magic;
  writer(fingerprint(density));
  return writer;
}

std::string seal(Writer writer) {
  writer(hash(writer.bytes));
  return std::move(writer.bytes);
}

Reader open_checkpoint(std::string_view bytes, std::string_view magic, const Density& density) {
  if (!bytes.starts_with(magic) || bytes.size() < magic.size() + 16)
    throw ConfigError("these bytes are not a checkpoint of this version of reeve::mcmc");
  std::uint64_t sum = 0, print = 0;
  std::memcpy(&sum, bytes.data() + bytes.size() - sizeof sum, sizeof sum);
  bytes.remove_suffix(sizeof sum);
  if (sum != hash(bytes)) damaged("its checksum does not fit");
  Reader reader{bytes.substr(magic.size())};
  reader(print);
  if (print != fingerprint(density))
    throw ConfigError("the checkpoint belongs to another density or other data; start anew");
  return reader;
}

}  // namespace reeve::mcmc::detail
