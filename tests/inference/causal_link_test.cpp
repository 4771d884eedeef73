// Every bad input is refused with its column and row, before any worker is used.
#include <functional>
#include <limits>
#include <reeve/inference/causal_link.hpp>

#include "tests/inference/inference_test_support.hpp"

namespace reeve::inference {
namespace {

using test::text_of;

CausalLink good() {
  CausalLink link;
  link.cause = "x";
  link.effect = "y";
  link.data.add("x", std::vector<double>{1, 2, 3, 4, 5, 6})
      .add("y", std::vector<double>{0, 1, 1, 0, 1, 1})
      .add("z", std::vector<double>{3, 1, 2, 5, 4, 9});
  return link;
}

struct BadInput {
  std::string label;
  std::function<void(CausalLink&)> spoil;
  std::vector<std::string> said;
};

std::vector<double> with(std::size_t at, double value) {
  std::vector<double> v{1, 2, 3, 4, 5, 6};
  v[at] = value;
  return v;
}

const std::vector<BadInput>& bad_inputs() {
  static const std::vector<BadInput> all{
      {"no cause", [](auto& l) { l.cause = ""; }, {"cause", "no name"}},
      {"missing column", [](auto& l) { l.effect = "w"; }, {"'w'", "x, y, z"}},
      {"missing confounder", [](auto& l) { l.confounders = {"q"}; }, {"'q'"}},
      {"cause is effect", [](auto& l) { l.effect = "x"; }, {"'x'", "twice"}},
      {"duplicate names", [](auto& l) { l.confounders = {"z", "z"}; }, {"'z'", "twice"}},
      {"confounder is cause", [](auto& l) { l.confounders = {"x"}; }, {"'x'", "twice"}},
      {"constant cause",
       [](auto& l) { l.data.add("c", std::vector<double>(6, 7.0)), l.cause = "c"; },
       {"'c'", "7", "row 1 to 6"}},
      {"constant effect",
       [](auto& l) { l.data.add("c", std::vector<double>(6, 0.0)), l.effect = "c"; },
       {"'c'", "row 1 to 6"}},
      {"NaN", [](auto& l) { l.data.add("n", with(3, NAN)), l.cause = "n"; }, {"'n'", "row 4"}},
      {"infinite",
       [](auto& l) {
         l.data.add("n", with(5, std::numeric_limits<double>::infinity()));
         l.effect = "n";
       },
       {"'n'", "row 6"}},
      {"lengths",
       [](auto& l) { l.data.add("s", std::vector<double>{1, 2, 3, 4, 5}), l.effect = "s"; },
       {"'s'", "5", "'x'", "6"}},
      {"few rows",
       [](auto& l) {
         l.data.add("s", std::vector<double>{1, 2}).add("t", std::vector<double>{1, 2});
         l.cause = "s", l.effect = "t";
       },
       {"'s'", "2 rows", "at least 5"}},
      {"text",
       [](auto& l) {
         l.data.add("s", std::vector<std::string>{"1", "2", "high", "4", "5", "6"});
         l.cause = "s";
       },
       {"'s'", "row 3", "'high'"}},
      {"family", [](auto& l) { l.family = static_cast<Family>(17); }, {"family", "17"}},
      {"bernoulli",
       [](auto& l) { l.family = Family::bernoulli, l.effect = "z"; },
       {"'z'", "row 1", "0 or 1"}},
      {"negative count",
       [](auto& l) { l.data.add("n", with(2, -1)), l.effect = "n", l.family = Family::poisson; },
       {"'n'", "row 3", "counts"}},
      {"broken count",
       [](auto& l) {
         l.data.add("n", with(1, 2.5)), l.effect = "n", l.family = Family::negative_binomial;
       },
       {"'n'", "row 2", "counts"}},
      {"student_nu", [](auto& l) { l.family = Family::student, l.student_nu = 0; }, {"student_nu"}},
  };
  return all;
}

TEST(CausalLink, BadInputIsRefusedByName) {
  for (const auto& bad : bad_inputs()) {
    CausalLink link = good();
    bad.spoil(link);
    const std::string text = text_of<ConfigError>([&] { checked(link); });
    for (const auto& word : bad.said)
      EXPECT_NE(text.find(word), std::string::npos) << bad.label << ": " << text;
  }
}

TEST(CausalLink, GoodInputIsTaken) {
  CausalLink link = good();
  link.confounders = {"z"};
  const LinkData data = checked(link);
  EXPECT_EQ(data.name, "x -> y");
  EXPECT_EQ(data.x.size(), 6u);
  EXPECT_EQ(data.confounders.at(0)[5], 9);
  link.name = "mine";
  EXPECT_EQ(checked(link).name, "mine");
}

TEST(CausalLink, FamiliesHaveNames) {
  for (const Family f : {Family::normal, Family::student, Family::bernoulli, Family::poisson,
                         Family::negative_binomial})
    EXPECT_EQ(parse_family(to_string(f)), f);
  const std::string text = text_of<ConfigError>([] { parse_family("gamma"); });
  EXPECT_NE(text.find("'gamma'"), std::string::npos);
  EXPECT_NE(text.find("negative_binomial"), std::string::npos);
}

}  // namespace
}  // namespace reeve::inference
