// The Standard Workload Format: dialects and malformed lines.
#include "reeve/alloc/swf.hpp"

#include <sstream>

#include "tests/support/pch.hpp"

namespace reeve::alloc {
namespace {

Result<Trace> read(const std::string& text) {
  std::istringstream in(text);
  return read_swf(in);
}

TEST(Swf, ReadsHeadersCommentsFractionsAndUnknowns) {
  const auto t = read(
                     "; MaxNodes: 8\n;MaxProcs: 16\n\n"
                     "1 10.5 -1 20.25 4 -1 -1 8 -1\r\n"
                     "  2 11 5 0 4 -1 -1 -1 100 -1 1 1 1 1 1 1 -1 -1\n"
                     "3 12 5 30 4 -1 -1 -1 10 -1 1 1 1 1 1 1 -1 -1\n")
                     .value();
  EXPECT_EQ(t.processors, 16);
  EXPECT_EQ(t.skipped, 1u);
  ASSERT_EQ(t.jobs.size(), 2u);
  EXPECT_EQ(t.jobs[0].submit, 10'500'000);
  EXPECT_EQ(t.jobs[0].estimate, 20'250'000);
  EXPECT_EQ(t.jobs[0].size, 4);
  std::istringstream same("1 10.5 -1 20.25 4 -1 -1 8 -1");
  EXPECT_EQ(read_swf(same, {.size = SwfOptions::Size::requested}).value().jobs[0].size, 8);
  EXPECT_EQ(t.jobs[1].estimate, seconds(30));  // never below the run
}

TEST(Swf, MalformedLinesNameLineFieldAndReason) {
  EXPECT_EQ(read("; x\n1 2 3 abc 5\n").refusal().why(),
            "line 2, field 4 (run time): not a usable number: abc");
  EXPECT_EQ(read("1 2 3 4 0.5\n").refusal().why(),
            "line 1, field 5 (processors used): not a whole number of processors: 0.5");
  EXPECT_EQ(read("1 2 3 4 -1 5 6 2.5\n").refusal().why(),
            "line 1, field 8 (processors requested): not a whole number of processors: 2.5");
  EXPECT_EQ(read("1 2 3 1e-9 4\n")->jobs[0].run, 1) << "a job that ran has a length";
  EXPECT_EQ(read("1 2 3 4 4 -1 -1 -1 1e-9\n")->jobs[0].estimate, seconds(4));
  EXPECT_EQ(read("1 2 3\n").refusal().why(),
            "line 1, field 4 (run time): missing; at least five fields are needed");
  EXPECT_EQ(read("1 -5 3 4 5\n").refusal().code, Code::malformed);
  EXPECT_EQ(read("1 nan 3 4 5\n").refusal().code, Code::malformed);
  EXPECT_EQ(read("1 1e300 3 4 5\n").refusal().code, Code::malformed);
  EXPECT_EQ(read("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19\n").refusal().code,
            Code::malformed);
}

}  // namespace
}  // namespace reeve::alloc
