// What the demo prints: table, checks, status line.
#include <examples/study/checks.hpp>
#include <examples/study/status_line.hpp>
#include <examples/study/table.hpp>

#include <cmath>
#include <sstream>

namespace study {
namespace {

using namespace std::chrono_literals;

TEST(Table, AlignsTextLeftAndNumbersRight) {
  Table table({"name", "value"});
  table.add({"a", "-1.5"});
  table.add({"longer"});
  std::ostringstream out;
  table.print(out);
  EXPECT_EQ(out.str(), "name    value\na        -1.5\nlonger\n");
}

TEST(CheckList, FailsOnAnythingButAllGood) {
  CheckList checks;
  EXPECT_EQ(checks.exit_status(), 1) << "nothing checked is not a success";
  checks.near("a", 1, 1, 0);
  EXPECT_EQ(checks.exit_status(), 0);
  checks.at_most("b", NAN, 1);
  EXPECT_EQ(checks.exit_status(), 1);
  std::ostringstream out;
  checks.print(out, false);
  EXPECT_EQ(out.str(), "FAILED  b: nan, at most 1\n1 of 2 checks hold\n");
}

TEST(StatusLine, RewritesItsLineOnATerminal) {
  std::ostringstream out;
  reeve::ManualClock clock;
  {
    StatusLine line(out, [] { return std::optional(5); }, clock);
    line.show("abcdefg");
    line.show("too soon");
    clock.advance(100ms);
    line.show("x");
  }
  EXPECT_EQ(out.str(), "\rabcd\x1b[K\rx\x1b[K\r\x1b[K");
}

TEST(StatusLine, PrintsPlainLinesElsewhere) {
  std::ostringstream out;
  reeve::ManualClock clock;
  {
    StatusLine line(out, [] { return std::optional<int>(); }, clock);
    line.show("one");
    clock.advance(1999ms);
    line.show("too soon");
    clock.advance(1ms);
    line.show("two");
  }
  EXPECT_EQ(out.str(), "one\ntwo\n");
}

}  // namespace
}  // namespace study
