// Checkpoint files: their names, and which of them belong to the link.
#include "inference/checkpoint.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <reeve/base/error.hpp>
#include <reeve/mcmc/atomic_file.hpp>

namespace reeve::inference {
namespace {

// A file name that two different names never share: other bytes become %XX.
std::string safe(std::string_view name) {
  std::string out;
  for (const char c : name) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (plain || c == '-' || c == '_')
      out += c;
    else
      out += fmt::format("%{:02x}", static_cast<unsigned char>(c));
  }
  return out;
}

}  // namespace

Checkpoints::Checkpoints(std::string folder, std::string_view link)
    : folder_(std::move(folder)), link_(safe(link)) {
  std::error_code error;
  if (enabled()) std::filesystem::create_directories(folder_, error);
  if (error)
    throw Error(
        fmt::format("the checkpoint folder {} cannot be made: {}", folder_, error.message()));
}

std::string Checkpoints::path(std::string_view mechanism, int round) const {
  std::string path = fmt::format("{}/{}.{}.{}.checkpoint", folder_, link_, safe(mechanism), round);
  if (std::find(known_.begin(), known_.end(), path) == known_.end()) known_.push_back(path);
  return path;
}

std::string Checkpoints::pattern() const {
  return fmt::format("{}/{}.*.checkpoint", folder_, link_);
}

std::optional<std::string> Checkpoints::read(std::string_view mechanism, int round) const {
  if (!enabled()) return std::nullopt;
  std::ifstream file(path(mechanism, round), std::ios::binary);
  if (!file) return std::nullopt;
  return std::string{std::istreambuf_iterator<char>(file), {}};
}

void Checkpoints::write(std::string_view mechanism, int round, std::string_view bytes) {
  if (!enabled()) return;
  mcmc::replace_file(path(mechanism, round), bytes);
}

void Checkpoints::forget(std::string_view mechanism, int round) noexcept {
  if (enabled()) std::remove(path(mechanism, round).c_str());
}

void Checkpoints::remove_all() noexcept {
  for (const auto& path : known_) std::remove(path.c_str());
}

}  // namespace reeve::inference
