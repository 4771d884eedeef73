// Tempered SMC as an object: sweeps, stops, checkpoints, a kill.
#include <reeve/base/error.hpp>
#include <reeve/mcmc/smc.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include "tests/support/pch.hpp"

namespace reeve::mcmc {
namespace {

Density two_modes() {
  return value_density(Parameters(2), [](std::span<const double> t) {
    return log_sum_exp(-0.5 * square(t[0] + 4), -0.5 * square(t[0] - 4)) - 0.5 * t[1] * t[1];
  });
}

SmcOptions small() {
  SmcOptions o;
  o.particles = 200;
  o.islands = 3;
  return o;
}

void expect_same(const SmcResult& a, const SmcResult& b) {
  ASSERT_EQ(a.run.chains().size(), b.run.chains().size());
  for (std::size_t c = 0; c < a.run.chains().size(); ++c) {
    EXPECT_EQ(a.run.chains()[c].q, b.run.chains()[c].q);
    EXPECT_EQ(a.run.chains()[c].stats.back().lp, b.run.chains()[c].stats.back().lp);
  }
  EXPECT_EQ(a.log_evidence, b.log_evidence);
  EXPECT_EQ(a.se, b.se);
  EXPECT_EQ(a.temperatures, b.temperatures);
  EXPECT_EQ(a.run.warmup_leapfrogs, b.run.warmup_leapfrogs);
}

TEST(SmcCheckpoint, resume_after_every_sweep_is_bit_identical) {
  const auto whole = sample_smc(two_modes(), small());
  SmcSampler sampler(two_modes(), small());
  std::size_t sweeps = 1;
  while (!sampler.advance({}, 1)) {
    const std::string bytes = sampler.checkpoint();
    sampler = SmcSampler::resume(two_modes(), bytes);
    EXPECT_EQ(sampler.checkpoint(), bytes);
    ++sweeps;
  }
  EXPECT_GT(sweeps, 10u);
  expect_same(sampler.result(), whole);
}

TEST(SmcCheckpoint, a_stop_within_a_sweep_leaves_no_trace) {
  const auto whole = sample_smc(two_modes(), small());
  SmcSampler sampler(two_modes(), small());
  int stops = 0;
  for (int round = 0;; ++round) {
    std::stop_source source;  // asked for while a density is evaluated
    int left = 37 * (round % 11) + 5;
    const auto stopping = value_density(Parameters(2), [&](std::span<const double> t) {
      if (left >= 0 && left-- == 0) source.request_stop();
      return log_sum_exp(-0.5 * square(t[0] + 4), -0.5 * square(t[0] - 4)) - 0.5 * t[1] * t[1];
    });
    SmcSampler stopped = SmcSampler::resume(stopping, sampler.checkpoint());
    const bool ended = stopped.advance(StopWhen(source.get_token()));
    sampler = SmcSampler::resume(two_modes(), stopped.checkpoint());
    if (ended || sampler.advance({}, 2)) break;
    EXPECT_EQ(stopped.stopped(), Status::cancelled);
    ++stops;
  }
  EXPECT_GT(stops, 5);
  expect_same(sampler.result(), whole);
}

TEST(SmcCheckpoint, damage_and_strangers_are_refused) {
  SmcSampler sampler(two_modes(), small());
  sampler.advance({}, 5);
  const std::string bytes = sampler.checkpoint();
  EXPECT_THROW(SmcSampler::resume(two_modes(), "nonsense"), ConfigError);
  EXPECT_THROW(
      SmcSampler::resume(value_density(Parameters(3), [](auto t) { return -t[0]; }), bytes),
      ConfigError);
  EXPECT_THROW(Sampler::resume(two_modes(), bytes), ConfigError);
  for (const std::size_t at : {3ul, 50ul, bytes.size() / 2, bytes.size() - 1}) {
    std::string damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
    EXPECT_THROW(SmcSampler::resume(two_modes(), damaged), ConfigError) << at;
    EXPECT_THROW(SmcSampler::resume(two_modes(), bytes.substr(0, at)), ConfigError) << at;
  }
  EXPECT_THROW(sample_smc_resumable(two_modes(), small(), "unused", {}, 0), ConfigError);
}

// A real kill: integration with the kernel, so the waits are real and short.
TEST(SmcCheckpoint, kill_at_a_random_time_then_resume_gives_the_same_bytes) {
  const auto folder =
      std::filesystem::temp_directory_path() / ("reeve_smc_" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  const std::string path = (folder / "smc.checkpoint").string();
  const auto whole = sample_smc(two_modes(), small());
  Random random(4);
  for (int kills = 0; kills < 200; ++kills) {
    const pid_t child = ::fork();
    if (child == 0) {
      sample_smc_resumable(two_modes(), small(), path);
      ::_exit(0);
    }
    ::usleep(static_cast<useconds_t>(500 + random.below(6000)));
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    if (WIFEXITED(status) || kills == 5) break;
  }
  expect_same(sample_smc_resumable(two_modes(), small(), path), whole);
  EXPECT_FALSE(std::filesystem::exists(path));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace reeve::mcmc
