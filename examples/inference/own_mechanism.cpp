// A mechanism of your own in one line, against the ones that come with reeve.
#include <cstdio>
#include <reeve/inference.hpp>

using namespace reeve::inference;
using reeve::mcmc::lognormal;
using reeve::mcmc::normal;

int main() {
  // [own]
  auto menten =
      mechanism<2>("Michaelis-Menten", [](const auto& x, auto t) { return t[0] * x / (x + t[1]); });
  menten
      .parameter("Vm", normal(0, 5), Unit::change)      // in standard deviations of the effect
      .parameter("K", lognormal(-1.2, 1), Unit::point)  // as a part of the highest cause
      .scale(CauseScale::ratio)
      .through_zero();  // no substrate, no reaction
  // [/own]
  CausalLink link("conc", "rate",
                  Table::read_csv(DATA_DIR "/puromycin.csv").where("state", "treated"));
  InferOptions options;
  options.candidates = {null(), linear(), quadratic(), sigmoid(), menten};
  const InferenceResult result = infer_here(link, options);  // in this process: no pool needed
  std::printf("%s, with more than 90 %%: %s\n", result.type().c_str(),
              result.posterior_probability("Michaelis-Menten") > 0.9 ? "yes" : "no");
  const auto& rows = result.best().summary;
  std::printf("%s about %.0f counts/min/min\n", rows[0].name.c_str(), 10 * rows[0].mean / 10);
  std::printf("%s about %.2f ppm\n", rows[1].name.c_str(), rows[1].mean);
}
// [output]
// Michaelis-Menten, with more than 90 %: yes
// Vm about 21... counts/min/min
// K about 0.0... ppm
// [/output]
