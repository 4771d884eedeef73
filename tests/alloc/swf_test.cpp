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

TEST(Swf, HeadersSayMoreThanProcessors) {
  const auto t = read(
                     "; MaxNodes: 120\n; MaxProcs: 240 (two each)\n; MaxMemory: 1048576\n"
                     "; MaxQueues: 2\n; Queue: 1 short up to an hour\n;Queue: 2 long\n"
                     ";  Partition:  1 DEFAULT\n; Partition: none\n; Note: Queue: 3 is no queue\n")
                     .value();
  EXPECT_EQ(t.nodes, 120);
  EXPECT_EQ(t.processors, 240);
  EXPECT_EQ(t.memory, std::int64_t{1} << 30);
  EXPECT_EQ(t.queues, (std::map<std::int64_t, std::string>{{1, "short"}, {2, "long"}}));
  EXPECT_EQ(t.partitions, (std::map<std::int64_t, std::string>{{1, "DEFAULT"}}));
}

Result<Trace> read_as(const std::string& text, const SwfOptions& options) {
  std::istringstream in(text);
  return read_swf(in, options);
}

TEST(Swf, DetailsAreKeptOnRequest) {
  const std::string text =
      "1 0 -1 20 4 -1 512 4 60 1024.5 1 11 12 13 14 15 -1 -1\n"
      "2 5 -1 -1 4 -1 512 4 60 1024 1 11 12 13 14 15 -1 -1\n"
      "3 9 -1 20 4 -1 -1 4 60 -1 1 -1 22 -1 0 15 1 2.5\n";
  EXPECT_TRUE(read(text)->details.empty());
  const auto t = read_as(text, {.details = true}).value();
  ASSERT_EQ(t.jobs.size(), 2u);
  ASSERT_EQ(t.details.size(), 2u) << "one for each job, none for what was skipped";
  const auto& a = t.details[0];
  EXPECT_EQ(a.memory_used, 512 * 1024);
  EXPECT_EQ(a.memory_requested, 1024 * 1024 + 512);
  EXPECT_EQ(std::tuple(a.user, a.group, a.executable, a.queue, a.partition),
            std::tuple(11, 12, 13, 14, 15));
  EXPECT_EQ(std::tuple(a.preceding, a.think), std::tuple(-1, -1));
  const auto& b = t.details[1];
  EXPECT_EQ(std::tuple(b.memory_used, b.memory_requested, b.user, b.queue),
            std::tuple(-1, -1, -1, 0));
  EXPECT_EQ(std::tuple(b.preceding, b.think), std::tuple(1, 2'500'000));
}

TEST(Swf, RequestsHaveAShapeAndMemory) {
  using Requests = SwfOptions::Requests;
  using Memory = SwfOptions::Memory;
  const std::string text =
      "1 0 -1 20 5 -1 3 5 60 4\n"
      "2 0 -1 20 5 -1 3 5 60 -1\n";
  const auto first = [&](const SwfOptions& o) { return read_as(text, o)->requests[0]; };
  EXPECT_TRUE(read(text)->requests.empty());
  EXPECT_EQ(first({.requests = Requests::anywhere}), anywhere(5, 4096));
  EXPECT_EQ(first({.requests = Requests::anywhere, .memory = Memory::none}), anywhere(5));
  EXPECT_EQ(first({.requests = Requests::anywhere, .memory_unit = 1}), anywhere(5, 4));
  EXPECT_EQ(first({.requests = Requests::per_node, .processors_per_node = 2}),
            on_nodes(5, 2, 4096));
  EXPECT_EQ(
      first({.requests = Requests::per_node, .processors_per_node = 2, .memory_of_node = true})
          .parts,
      (std::vector<NodePart>{{2, 2, 4096}, {1, 1, 4096}}));
  EXPECT_EQ(first({.requests = Requests::anywhere, .memory_unit = 1, .memory_of_node = true}),
            anywhere(5, 1))
      << "of all of it, rounded up";
  const auto second = [&](Memory m) {
    return read_as(text, {.requests = Requests::anywhere, .memory = m})->requests[1];
  };
  EXPECT_EQ(second(Memory::requested), anywhere(5));
  EXPECT_EQ(second(Memory::requested_or_used), anywhere(5, 3072));
}

TEST(Swf, SpecsOfTheDialectSayShapeAndProperties) {
  const std::string front = " 0 -1 20 5 -1 3 5 60 ";
  const std::string back = " 1 1 1 1 1 1 -1 -1 {1,1,2} q_1d ";
  const auto t = read_as("1" + front + "1e12" + back + "2:ppn=8:ib:^old#excl\n" +  //
                             "2" + front + "4096" + back + "1:ppn=2:mem=1kb+3\n" + "3" + front +
                             "4096" + back + "-1\n" + "4" + front + "-1\n",
                         swf_with_specs())
                     .value();
  ASSERT_EQ(t.requests.size(), 4u);
  EXPECT_EQ(t.jobs[0].size, 16) << "what is asked for, not what field 5 says";
  EXPECT_TRUE(t.requests[0].alone);
  EXPECT_EQ(t.requests[0].parts, (std::vector<NodePart>{{2,
                                                         8,
                                                         1'000'000'000'000,
                                                         {{"ib", Constraint::Kind::exists},
                                                          {"old", Constraint::Kind::absent}}}}));
  EXPECT_EQ(t.requests[1].parts, (std::vector<NodePart>{{1, 2, 1024}, {3, 1, 4096}}));
  EXPECT_EQ(t.requests[2], anywhere(5, 820));
  EXPECT_EQ(t.requests[3], anywhere(5, 1)) << "used, of the whole: 3 bytes";
}

TEST(Swf, MalformedSpecsNameLineFieldAndReason) {
  const auto why = [](const std::string& spec, SwfOptions o = swf_with_specs()) {
    return read_as("; x\n1 0 1 20 5 1 3 5 60 -1 1 1 1 1 1 1 -1 -1 " + spec, o).refusal();
  };
  EXPECT_EQ(why("c q 1:ppn=x").why(), "line 2, field 21: ppn=x: not a number of processors");
  auto other = swf_with_specs();
  other.spec_field = 19;
  EXPECT_EQ(why("0", other).why(), "line 2, field 19: 0: not a number of nodes");
  EXPECT_EQ(why("1:ppn=1", {.requests = SwfOptions::Requests::anywhere}).why(),
            "line 2, field 19: more than 18 fields");
  other.spec_field = 18;
  EXPECT_EQ(why("1", other).code, Code::invalid_request);
  EXPECT_EQ(read_as("", {.processors_per_node = 0}).refusal().code, Code::invalid_request);
  EXPECT_EQ(read_as("", {.memory_unit = 0}).refusal().code, Code::invalid_request);
  EXPECT_EQ(read("1 2 3 4 5 6 7 8 9 x\n").refusal().why(),
            "line 1, field 10 (memory requested): not a usable number: x");
  EXPECT_EQ(read("1 2 3 4 5 6 1e16\n").refusal().why(),
            "line 1, field 7 (memory used): not a usable number: 1e16");
}

}  // namespace
}  // namespace reeve::alloc
