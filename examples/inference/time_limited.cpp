// A time limit that keeps the draws, and says what it could not decide.
#include <chrono>
#include <cstdio>
#include <reeve/inference.hpp>

using namespace reeve::inference;

int main() {
  const CausalLink link("speed", "dist", Table::read_csv(DATA_DIR "/cars.csv"));
  // [limit]
  InferOptions options;
  options.draws = 10'000'000;  // far more than the time allows
  options.deadline = std::chrono::milliseconds(100);
  const InferenceResult result = infer_here(link, options);
  for (const FitReport& fit : result.fits())
    std::printf("%-10s %s, %s\n", fit.mechanism.c_str(), reeve::mcmc::to_string(fit.status),
                fit.diagnostics.draws > 100 ? "draws kept" : "no draws");
  // [/limit]
  std::printf("probabilities: %s\n", result.conclusive() ? "yes" : "no");
  std::printf("%s\n", result.necessity().missing.front().text.substr(0, 52).c_str());
}
// [output]
// null       deadline, draws kept
// linear     deadline, draws kept
// quadratic  deadline, draws kept
// emax       deadline, draws kept
// sigmoid    deadline, draws kept
// probabilities: no
// no probabilities: the fit of null ended deadline; th
// [/output]
