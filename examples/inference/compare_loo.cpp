// Two views of the same candidates: marginal likelihoods and leave-one-out prediction.
#include <cstdio>
#include <reeve/inference.hpp>

using namespace reeve::inference;

int main() {
  const CausalLink link("age", "height", Table::read_csv(DATA_DIR "/loblolly.csv"));
  // [loo]
  InferOptions options;
  options.candidates = {null(), linear(), sigmoid(), exponential()};
  options.loo = LooOf::all;
  const InferenceResult result = infer_here(link, options);
  for (const FitReport& fit : result.fits()) {
    const auto& loo = result.loo(fit.mechanism);
    std::printf("%-12s P %.1f  elpd %4.0f  unreliable points %zu\n", fit.mechanism.c_str(),
                result.posterior_probability(fit.mechanism), loo.elpd, loo.bad_k);
  }
  // [/loo]
  std::printf("both prefer %s\n", result.type().c_str());
}
// [output]
// null         P 0.0  elpd -375  unreliable points 0
// linear       P 0.0  elpd -21...  unreliable points 0
// sigmoid      P ...
// exponential  P ...
// both prefer exponential
// [/output]
