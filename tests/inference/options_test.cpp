// Each fault in the settings has its sentence.
#include <reeve/inference/options.hpp>

#include "tests/inference/inference_test_support.hpp"

namespace reeve::inference {
namespace {

TEST(FitSettings, DefaultsHaveNoFault) {
  EXPECT_EQ(find_fault(FitSettings{}), std::nullopt);
}

TEST(FitSettings, FaultsAreNamed) {
  const auto fault = [](auto spoil) {
    FitSettings s;
    spoil(s);
    return find_fault(s).value_or("none");
  };
  const auto has = [](const std::string& text, const std::string& word) {
    EXPECT_NE(text.find(word), std::string::npos) << text;
  };
  has(fault([](auto& s) { s.chains = 1; }), "chains is 1");
  has(fault([](auto& s) { s.draws = 10; }), "draws is 10");
  has(fault([](auto& s) { s.warmup = 1ull << 40; }), "warmup");
  has(fault([](auto& s) { s.rounds = 0; }), "rounds is 0");
  has(fault([](auto& s) { s.interval = 1; }), "interval is 1");
  has(fault([](auto& s) { s.se_limit = 0; }), "se_limit");
  has(fault([](auto& s) { s.effect_limit = 1; }), "necessity");
  has(fault([](auto& s) { s.deadline = std::chrono::milliseconds(-1); }), "deadline is -1");
  has(fault([](auto& s) { s.checkpoint_every = 0; }), "checkpoint_every");
  has(fault([](auto& s) { s.target_accept = 2; }), "target_accept");
  has(fault([](auto& s) { s.target_ess = 50; }), "target_ess");
}

}  // namespace
}  // namespace reeve::inference
