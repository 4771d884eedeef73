// The fits to the shipped data agree with R's to a ten-thousandth of a standard error.
#include <examples/study/cases.hpp>
#include <examples/study/fit.hpp>

namespace study {
namespace {

TEST(Cases, EstimatesAndErrorsAgreeWithR) {
  const auto cases = read_cases(STUDY_DATA_DIR);
  EXPECT_EQ(cases.size(), 8u);
  for (const auto& item : cases) {
    const auto fit = fit_curve(item.kind, item.x, item.y);
    ASSERT_EQ(fit.status, FitStatus::converged) << item.name;
    ASSERT_EQ(fit.estimates.size(), item.reference.size()) << item.name;
    for (std::size_t i = 0; i < fit.estimates.size(); ++i) {
      const auto& want = item.reference[i];
      EXPECT_NEAR(fit.estimates[i], want.estimate, 1e-4 * want.error) << item.name << ", " << i;
      EXPECT_NEAR(fit.standard_errors[i], want.error, 1e-4 * want.error) << item.name << ", " << i;
    }
  }
}

}  // namespace
}  // namespace study
