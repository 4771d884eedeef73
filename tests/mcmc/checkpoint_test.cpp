// Checkpoints that are damaged, of another density, or made to mislead.
#include <reeve/base/error.hpp>
#include <reeve/mcmc/atomic_file.hpp>
#include <reeve/mcmc/random.hpp>
#include <reeve/mcmc/sampler.hpp>
#include <reeve/mcmc/smc.hpp>

#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>

#include "tests/mcmc/standard_normal.hpp"
#include "tests/support/pch.hpp"

namespace reeve::mcmc {
namespace {

// With the checksum that belongs to the bytes: FNV-1a.
std::string sealed(std::string bytes) {
  const std::size_t end = bytes.size() - 8;
  std::uint64_t h = 0xcbf29ce484222325ULL;
  for (std::size_t i = 0; i < end; ++i)
    h = (h ^ static_cast<unsigned char>(bytes[i])) * 0x100000001b3ULL;
  std::memcpy(bytes.data() + end, &h, sizeof h);
  return bytes;
}

// Each place of the file in turn holds a number that does not belong there. The sampler refuses the
// file, or the number is one that it can work with. Returns how often it refused.
template <class S>
int mislead(const std::string& bytes, const Density& d) {
  constexpr std::size_t head = 24;  // version and density
  int refused = 0;
  for (std::size_t at = head; at + 16 <= bytes.size(); ++at)
    for (const std::uint64_t number : {std::uint64_t{1'000'000}, UINT64_MAX}) {
      std::string wrong = bytes;
      std::memcpy(wrong.data() + at, &number, sizeof number);
      try {
        S sampler = S::resume(d, sealed(std::move(wrong)));
        sampler.advance({}, 3);
        EXPECT_FALSE(sampler.checkpoint().empty());
      } catch (const Error&) {
        ++refused;
      }
    }
  return refused;
}

TEST(Checkpoint, damage_and_strangers_are_refused) {
  Sampler sampler(standard_normal(2), {});
  sampler.advance({}, 100);
  const std::string bytes = sampler.checkpoint();
  EXPECT_THROW(Sampler::resume(standard_normal(3), bytes), ConfigError);
  EXPECT_THROW(Sampler::resume(density<2>([](auto t) { return -t[0] * t[0] - t[1]; }), bytes),
               ConfigError);
  EXPECT_THROW(Sampler::resume(standard_normal(2), "nonsense"), ConfigError);
  for (const std::size_t at : {20ul, 50ul, bytes.size() / 2, bytes.size() - 1}) {
    std::string damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
    EXPECT_THROW(Sampler::resume(standard_normal(2), damaged), ConfigError) << at;
    EXPECT_THROW(Sampler::resume(standard_normal(2), bytes.substr(0, at)), ConfigError) << at;
  }
}

TEST(Checkpoint, sizes_that_do_not_fit_are_refused_though_the_checksum_does) {
  const Density d = standard_normal(2);
  SampleOptions o;
  o.chains = 2;
  o.warmup = 30;
  o.draws = 4;
  for (const auto& [adaptation, transitions] :
       {std::pair{Adaptation::fisher, 50u}, {Adaptation::fisher, 63u}, {Adaptation::stan, 50u}}) {
    o.adaptation = adaptation;
    Sampler sampler(d, o);
    sampler.advance({}, transitions);
    const std::string bytes = sampler.checkpoint();
    EXPECT_NO_THROW(Sampler::resume(d, sealed(bytes)));
    EXPECT_GT(mislead<Sampler>(bytes, d), 100);
    std::string longer = bytes;
    longer.insert(longer.size() - 8, 8, '\0');
    EXPECT_THROW(Sampler::resume(d, sealed(longer)), ConfigError);
  }
}

TEST(Checkpoint, a_chain_that_does_not_exist_is_never_next) {
  const Density d = standard_normal(2);
  Sampler sampler(d, {});
  sampler.advance({}, 103);
  std::string bytes = sampler.checkpoint();
  const std::uint64_t here[] = {25, 3}, there[] = {25, 1'000'000};  // iteration and chain
  const auto at = bytes.find(std::string(reinterpret_cast<const char*>(here), sizeof here));
  ASSERT_NE(at, std::string::npos);
  std::memcpy(bytes.data() + at, there, sizeof there);
  try {
    Sampler::resume(d, sealed(bytes));
    FAIL() << "it was taken";
  } catch (const ConfigError& e) {
    EXPECT_THAT(e.what(), ::testing::HasSubstr("the checkpoint is damaged"));
  }
}

TEST(SmcCheckpoint, sizes_that_do_not_fit_are_refused_though_the_checksum_does) {
  const Density d = standard_normal(2);
  SmcOptions o;
  o.particles = 50;
  o.islands = 2;
  SmcSampler sampler(d, o);
  std::size_t checked = 0;
  for (int sweeps = 0; !sampler.advance({}, 1); ++sweeps) {
    const std::string bytes = sampler.checkpoint();
    EXPECT_NO_THROW(SmcSampler::resume(d, sealed(bytes)));
    if (sweeps % 16 != 5) continue;
    EXPECT_GT(mislead<SmcSampler>(bytes, d), 100);
    ++checked;
  }
  EXPECT_GT(checked, 1u);
}

TEST(Checkpoint, AFileOfOtherOptionsIsRefusedByName) {
  const auto d = with_central_differences(
      Parameters(1), [](std::span<const double> x) { return -0.5 * x[0] * x[0]; });
  const std::string path =
      std::filesystem::temp_directory_path() / ("reeve-other-" + std::to_string(::getpid()));
  SampleOptions made;
  made.draws = 200;
  Sampler half(d, made);
  half.advance({}, 900);
  replace_file(path, half.checkpoint());
  const auto text = [&](const SampleOptions& o) -> std::string {
    try {
      sample_resumable(d, o, path);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return {};
  };
  SampleOptions other = made;
  other.draws = 2000;
  EXPECT_NE(text(other).find("draws = 200, and now it is 2000"), std::string::npos) << text(other);
  other = made;
  other.seed = 99;
  EXPECT_NE(text(other).find("seed"), std::string::npos) << text(other);
  other = made;
  other.checks.rhat_limit = 1.5;
  EXPECT_NE(text(other).find("rhat_limit"), std::string::npos) << text(other);
  EXPECT_EQ(text(made), "");
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(RandomPoisson, AMeanWithoutEndReturns) {
  Random random(1);
  EXPECT_EQ(random.poisson(INFINITY), INFINITY);
  EXPECT_TRUE(std::isnan(random.poisson(NAN)));
  EXPECT_EQ(random.poisson(0), 0);
}

}  // namespace
}  // namespace reeve::mcmc
