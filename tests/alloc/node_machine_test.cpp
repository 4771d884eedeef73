// Machines of nodes and what jobs ask of them: texts, faults, feasibility.
#include "reeve/alloc/node_machine.hpp"

#include <sstream>

#include "tests/alloc/node_checker.hpp"
#include "tests/alloc/node_traces.hpp"
#include "tests/support/pch.hpp"

namespace reeve::alloc {
namespace {

Result<NodeMachine> machine(const std::string& text) {
  std::istringstream in(text);
  return read_machine(in);
}

constexpr std::int64_t gib = std::int64_t{1} << 30;

TEST(NodeMachine, ReadsGroupsWithProperties) {
  const auto m = machine(
                     "# a comment\n"
                     "\n"
                     "thin#.site 1000 16 64GiB infiniband rack=3 os=debian # old\r\n"
                     "; another\n"
                     "  fat 2\t80 - gpu=4\n"
                     "login 1 4 1.5GiB\n")
                     .value();
  ASSERT_EQ(m.groups.size(), 3u);
  EXPECT_EQ(m.nodes(), 1003);
  EXPECT_EQ(m.processors(), 16'000 + 160 + 4);
  EXPECT_EQ(m.groups[0].memory, 64 * gib);
  EXPECT_EQ(m.groups[0].properties,
            (Capabilities{{"infiniband", true}, {"os", std::string("debian")}, {"rack", 3L}}));
  EXPECT_EQ(m.groups[1].memory, uncounted);
  EXPECT_EQ(m.groups[2].memory, gib + gib / 2);
  EXPECT_EQ(m.node_name(0), "thin1.site");
  EXPECT_EQ(m.node_name(999), "thin1000.site");
  EXPECT_EQ(m.node_name(1000), "fat1");
  EXPECT_EQ(m.node_name(1001), "fat2");
  EXPECT_EQ(m.node_name(1002), "login");
}

TEST(NodeMachine, MalformedLinesNameLineFieldAndReason) {
  const auto why = [](const std::string& text) { return machine(text).refusal().why(); };
  EXPECT_EQ(why("\na\n"), "line 2, field 2 (nodes): not a whole number from 1 to 1000000: ");
  EXPECT_EQ(why("a 0 1 -\n"), "line 1, field 2 (nodes): not a whole number from 1 to 1000000: 0");
  EXPECT_EQ(why("a 1 x -\n"),
            "line 1, field 3 (processors): not a whole number from 1 to 1000000: x");
  EXPECT_EQ(why("a 1 2 64\n"), "line 1, field 4 (memory): not an amount like 64GiB, nor -: 64");
  EXPECT_EQ(why("a 1 2\n"), "line 1, field 4 (memory): not an amount like 64GiB, nor -: ");
  EXPECT_EQ(why("a 1 2 - x=\n"), "line 1, field 5 (property): a key without a value");
  EXPECT_EQ(why("a 1 2 - p =3\n"), "line 1, field 6 (property): a value without a key");
  EXPECT_EQ(why("a 1 2 - p p\n"), "line 1, field 6 (property): named twice: p");
  EXPECT_EQ(machine("a 1 2 -\na 1 2 -\n").refusal().code, Code::duplicate);
  EXPECT_EQ(machine("# nothing\n").refusal().code, Code::invalid_request);
  EXPECT_EQ(machine("a 999999 1 -\nb 2 1 -\n").refusal().code, Code::invalid_request);
  EXPECT_EQ(validate(NodeMachine{{{.name = "a", .processors = 0}}}).refusal().code,
            Code::invalid_amount);
}

TEST(NodeSpec, ReadsCountsPropertiesMemoryAndFlags) {
  using Kind = Constraint::Kind;
  const auto q = parse_node_spec("2:ppn=8:infiniband:^old+1:ppn=4:mem=3gb:gpu=2:os=linux#excl");
  ASSERT_TRUE(q);
  EXPECT_TRUE(q->apart);
  EXPECT_TRUE(q->alone);
  ASSERT_EQ(q->parts.size(), 2u);
  EXPECT_EQ(q->parts[0],
            (NodePart{2, 8, 0, {{"infiniband", Kind::exists}, {"old", Kind::absent}}}));
  EXPECT_EQ(q->parts[1], (NodePart{1,
                                   4,
                                   3 * gib,
                                   {{"gpu", Kind::at_least, {std::int64_t{2}}},
                                    {"os", Kind::equals, {std::string("linux")}}}}));
  EXPECT_EQ(q->processors(), 20);
  EXPECT_EQ(parse_node_spec("3")->parts, (std::vector{NodePart{.count = 3}}));
  EXPECT_EQ(parse_node_spec("3:ncpus=2#shared")->parts, (std::vector{NodePart{3, 2}}));
  EXPECT_FALSE(parse_node_spec("3:ncpus=2#shared")->alone);
  EXPECT_EQ(parse_node_spec("1:ppn=0.5")->parts[0].processors, 1);
  EXPECT_EQ(parse_node_spec("1:ppn=2.5")->parts[0].processors, 3);
  EXPECT_EQ(parse_node_spec("1:ppn=2+2:ppn=2")->parts, (std::vector{NodePart{3, 2}}));
  EXPECT_EQ(parse_node_spec("1:a:a")->parts[0].where.size(), 1u);
  EXPECT_EQ(parse_node_spec("fat2:ppn=3")->parts[0],
            (NodePart{1, 3, 0, {{"host", Kind::equals, {std::string("fat2")}}}}));
  EXPECT_EQ(parse_node_spec("ppn=3")->parts[0], (NodePart{1, 3}));
}

TEST(NodeSpec, MalformedOnesSayWhy) {
  const auto why = [](const char* text) { return parse_node_spec(text).refusal().why(); };
  EXPECT_EQ(why(""), ": begins with neither a number nor the name of a node");
  EXPECT_EQ(why("0:ppn=1"), "0: not a number of nodes");
  EXPECT_EQ(why("1:ppn=x"), "ppn=x: not a number of processors");
  EXPECT_EQ(why("1:ppn=0"), "ppn=0: not a number of processors");
  EXPECT_EQ(why("1:ppn=nan"), "ppn=nan: not a number of processors");
  EXPECT_EQ(why("1:mem=3"), "mem=3: not an amount of memory like 3gb");
  EXPECT_EQ(why("1:^"), "^: a property without a name");
  EXPECT_EQ(why("1:a="), "a=: a key needs a value, and a value a key");
  EXPECT_EQ(why("1#many"), "many: not a flag: excl, exclhost, shared, scatter");
  EXPECT_EQ(why("1:ppn=1+"), "1:ppn=1+: ends too early");
  EXPECT_EQ(why("1++1"), ": begins with neither a number nor the name of a node");
  EXPECT_EQ(why("1:a+1:b+1:c+1:d+1:e"), "1:a+1:b+1:c+1:d+1:e: more than four different parts");
  EXPECT_EQ(why("1000000000:ppn=2"), "1000000000:ppn=2: too many processors");
}

TEST(NodeRequest, ShapesOfPlainSizes) {
  EXPECT_EQ(anywhere(5, 7).parts, (std::vector{NodePart{5, 1, 7}}));
  EXPECT_FALSE(anywhere(5).apart);
  EXPECT_EQ(on_nodes(5, 2, 7).parts, (std::vector{NodePart{2, 2, 14}, NodePart{1, 1, 7}}));
  EXPECT_EQ(on_nodes(1, 2).parts, (std::vector{NodePart{1, 1}}));
  EXPECT_TRUE(on_nodes(4, 2).apart);
  EXPECT_EQ(on_nodes(4, 2).parts, (std::vector{NodePart{2, 2}}));
}

TEST(CanRun, NamesWhatBinds) {
  const auto m = machine(
                     "thin# 4 2 1GiB ib\n"
                     "fat# 2 8 4GiB ib gpu=2\n"
                     "odd 1 16 - gpu=1\n")
                     .value();
  const auto no = [&](const char* spec) {
    const auto why = can_run(parse_node_spec(spec).value(), m).refusal();
    return std::string(to_string(why.code)) + " " + why.subject + " " + std::to_string(why.asked) +
           "/" + std::to_string(why.available);
  };
  const auto yes = [&](const char* spec) {
    return can_run(parse_node_spec(spec).value(), m).has_value();
  };
  EXPECT_TRUE(yes("7"));
  EXPECT_EQ(no("8"), "infeasible nodes 8/7");
  EXPECT_TRUE(yes("1:ppn=16"));
  EXPECT_EQ(no("1:ppn=16:ib"), "infeasible processors 16/8");
  EXPECT_TRUE(yes("1:ppn=16:mem=900tb")) << "memory of odd is not counted";
  EXPECT_EQ(no("1:mem=5gb:ib"), "infeasible memory 5368709120/4294967296");
  EXPECT_TRUE(yes("2:gpu=2"));
  EXPECT_EQ(no("3:gpu=2"), "infeasible nodes 3/2");
  EXPECT_EQ(no("1:gpu=3"), "unmet_constraint gpu 0/0");
  EXPECT_EQ(no("1:ib:^ib"), "unmet_constraint ib 0/0");
  EXPECT_TRUE(yes("fat2:ppn=8"));
  EXPECT_TRUE(yes("1:ppn=8:host=fat1"));
  EXPECT_TRUE(yes("1:fat:ppn=8")) << "the name of a group is a property";
  EXPECT_TRUE(yes("1:ppn=8:fat1")) << "and that of a node";
  EXPECT_TRUE(yes("1:ppn=8:^fat1"));
  EXPECT_EQ(no("2:ppn=8:ib:^fat1"), "infeasible nodes 2/1");
  EXPECT_EQ(no("fat3"), "unmet_constraint host 0/0");
  EXPECT_TRUE(yes("2:ppn=8:ib+4:ppn=2+1:ppn=16"));
  EXPECT_TRUE(yes("4:ppn=2+2:ppn=8:ib+1:ppn=16")) << "thin nodes for those who fit there";
  EXPECT_EQ(no("2:ppn=8+2:gpu=1"), "infeasible pieces 4/3");
  EXPECT_TRUE(can_run(anywhere(40), m));
  EXPECT_EQ(can_run(anywhere(41), m).refusal().subject, "pieces");
  EXPECT_EQ(can_run(anywhere(41), m).refusal().available, 40);
  EXPECT_TRUE(can_run(anywhere(20, 2 * gib), m)) << "none on a thin node, two on a fat one";
  EXPECT_EQ(
      can_run(anywhere(20, 2 * gib), NodeMachine{{m.groups[0], m.groups[1]}}).refusal().available,
      4);
}

TEST(CanRun, APropertyIsNotHiddenByANameLikeIt) {
  const auto m = machine("gpu# 2 1 - gpu=4 gpu2=no\nlone 1 1 - lone=7 host=x\n").value();
  const auto yes = [&](const char* spec) {
    return can_run(parse_node_spec(spec).value(), m).has_value();
  };
  EXPECT_TRUE(yes("2:gpu=4"));
  EXPECT_TRUE(yes("2:gpu2=no"));
  EXPECT_TRUE(yes("1:gpu1"));
  EXPECT_TRUE(yes("1:lone=7"));
  EXPECT_TRUE(yes("1:host=x"));
  EXPECT_FALSE(yes("1:host=lone"));
}

TEST(CanRun, RefusesWhatHasNoMeaning) {
  const NodeMachine m{{{.name = "a"}}};
  const auto code = [&](const NodeRequest& q) { return can_run(q, m).refusal().code; };
  EXPECT_EQ(code({}), Code::invalid_request);
  EXPECT_EQ(code({.parts = {{}, {.processors = 2}}, .apart = false}), Code::invalid_request);
  EXPECT_EQ(code({.parts = {{}}, .apart = false, .alone = true}), Code::invalid_request);
  EXPECT_EQ(code({.parts = std::vector<NodePart>(5)}), Code::invalid_request);
  EXPECT_EQ(code({.parts = {{.count = 0}}}), Code::invalid_amount);
  EXPECT_EQ(code({.parts = {{.processors = 0}}}), Code::invalid_amount);
  EXPECT_EQ(code({.parts = {{.memory = -1}}}), Code::invalid_amount);
  EXPECT_EQ(code({.parts = {{.count = INT32_MAX, .processors = INT32_MAX}}}), Code::invalid_amount);
  EXPECT_EQ(validate(NodeMachine{{{.name = "a", .memory = 0}}}).refusal().code,
            Code::invalid_amount);
  EXPECT_EQ(code({.parts = {{.where = {{""}}}}}), Code::invalid_constraint);
  EXPECT_EQ(can_run(anywhere(1), {}).refusal().code, Code::invalid_request);
}

// I18: a node more never turns what fits into what does not; and feasibility is that of a matching
// of pieces to nodes, one by one.
RC_GTEST_PROP(CanRunProperty, MoreNodesNeverHurt, ()) {
  auto m = random_machine();
  const auto q = random_request();
  const bool before = can_run(q, m).has_value();
  const SimulatorOptions options;
  const NodeReplay none;
  RC_ASSERT(before == NodeChecker({{}, {}, m, options, none}).fits(q, plain_nodes(m)));
  auto more = random_machine().groups[0];
  more.name = "more";
  m.groups.insert(m.groups.begin() + *rc::gen::inRange<int>(0, 2), more);
  RC_ASSERT(!before || can_run(q, m).has_value());
}

}  // namespace
}  // namespace reeve::alloc
