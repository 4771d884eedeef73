// Tables from CSV text and from memory; complaints name column and row.
#include <reeve/inference/table.hpp>
#include <sstream>

#include "tests/inference/inference_test_support.hpp"

namespace reeve::inference {
namespace {

using test::text_of;

Table table_of(const std::string& text) {
  std::istringstream in(text);
  return Table::read_csv(in, "t.csv");
}

TEST(Table, ReadsNumbersAndLeavesTextAlone) {
  const Table t = table_of("dose,state,\"a,b\"\n1,on,2\n\n +2.5 ,off,\"3e1\"\r\n");
  EXPECT_EQ(t.names(), (std::vector<std::string>{"dose", "state", "a,b"}));
  EXPECT_EQ(t.numbers("dose"), (std::vector<double>{1, 2.5}));
  EXPECT_EQ(t.numbers("a,b"), (std::vector<double>{2, 30}));
  EXPECT_EQ(t.rows("state"), 2u);
  EXPECT_EQ(t.file(), "t.csv");
}

TEST(Table, ComplaintsNameColumnRowAndLine) {
  const Table t = table_of("a,b,c,d\n1,,NA,inf\n\n2,x,1,2\n");
  EXPECT_EQ(text_of<ConfigError>([&] { t.numbers("b"); }),
            "column 'b', row 1 (line 2 of t.csv) is missing; drop the row or fill it in");
  EXPECT_NE(text_of<ConfigError>([&] { t.numbers("c"); }).find("row 1 (line 2"), std::string::npos);
  EXPECT_NE(text_of<ConfigError>([&] { t.numbers("d"); }).find("is inf"), std::string::npos);
  const Table u = table_of("a,b\n1,1\n\n2,x\n");
  EXPECT_EQ(text_of<ConfigError>([&] { u.numbers("b"); }),
            "column 'b', row 2 (line 4 of t.csv) is 'x', which is no number");
  EXPECT_EQ(text_of<ConfigError>([&] { u.numbers("z"); }),
            "there is no column 'z' in t.csv; there are: a, b");
}

TEST(Table, RefusesBadFiles) {
  EXPECT_NE(text_of<ConfigError>([] { table_of(""); }).find("no header"), std::string::npos);
  EXPECT_NE(text_of<ConfigError>([] { table_of("a,a\n"); }).find("t.csv:1"), std::string::npos);
  EXPECT_NE(text_of<ConfigError>([] { table_of("a,\n"); }).find("empty"), std::string::npos);
  EXPECT_EQ(text_of<ConfigError>([] { table_of("a,b\n1,2\n3\n"); }),
            "t.csv:3: 1 cells in this row; the header has 2");
  EXPECT_THROW(Table::read_csv("/nonexistent/t.csv"), ConfigError);
}

TEST(Table, QuotedCells) {
  std::istringstream in("name,\"a \"\"b\"\"\",v\n\"x, y\",\"two\nlines\" ,+1.5\n z ,\"\",-2\n");
  const Table table = Table::read_csv(in, "q.csv");
  EXPECT_EQ(table.names(), (std::vector<std::string>{"name", "a \"b\"", "v"}));
  EXPECT_EQ(table.rows("v"), 2u);
  EXPECT_EQ(table.numbers("v"), (std::vector<double>{1.5, -2}));
  EXPECT_EQ(table.where("a \"b\"", "two\nlines").rows("v"), 1u);
  EXPECT_EQ(table.where("name", "x, y").rows("v"), 1u);
  EXPECT_EQ(table.row_text(2), "row 2 (line 4 of q.csv)");

  for (const char* bad : {"a,b\n\"x,1\n2,3\n", "a,b\n\"x\"y,1\n"}) {
    std::istringstream text(bad);
    const std::string error = text_of<ConfigError>([&] { (void)Table::read_csv(text, "q.csv"); });
    EXPECT_NE(error.find("q.csv:2"), std::string::npos) << error;
    EXPECT_NE(error.find("quote"), std::string::npos) << error;
  }
}

TEST(Table, NumbersHaveOneSign) {
  for (const char* cell : {"+-5", "-+5", "++5", "+", "-", "1e", "0x10", "5 6"}) {
    Table table;
    table.add("a", std::vector<std::string>{"+5", cell});
    const std::string error = text_of<ConfigError>([&] { (void)table.numbers("a"); });
    EXPECT_NE(error.find("row 2"), std::string::npos) << error;
  }
}

TEST(Table, KeepsRowsByText) {
  const Table t = table_of("a,s\n1,on\n2,off\n3,on\n");
  const Table on = t.where("s", "on");
  EXPECT_EQ(on.numbers("a"), (std::vector<double>{1, 3}));
  EXPECT_EQ(on.row_text(2), "row 2 (line 4 of t.csv)");
  EXPECT_THROW(t.where("s", "none"), ConfigError);
}

TEST(Table, QuotedCellsKeepTheirLinesAndBlanks) {
  const Table t = table_of("s,a\n\"one \r\n\"\"two\"\", 3\n\n end\" ,1 \r\n x ,2 \r\n");
  EXPECT_EQ(t.where("s", "one \r\n\"two\", 3\n\n end").numbers("a"), std::vector<double>{1});
  EXPECT_EQ(text_of<ConfigError>([&] { table_of("s\n\"a\"b\n"); }).find("t.csv:2"), 0u);
  EXPECT_NE(text_of<ConfigError>([&] { table_of("s,a\n\"one\ntwo\" x,1\n"); }).find("goes on"),
            std::string::npos);
  EXPECT_EQ(t.where("s", "x").numbers("a"), std::vector<double>{2});
  EXPECT_EQ(t.rows("s"), 2u);
}

// A line was read again for each line of its cell: 6.7 s for 8,000 lines.
TEST(Table, ALongOpenCellIsReadOnce) {
  std::string text = "a,b\n\"start,1\n";
  for (int i = 0; i < 60'000; ++i) text += "with \"\"quoted\"\" words,1\n";
  const auto from = std::chrono::steady_clock::now();
  EXPECT_NE(text_of<ConfigError>([&] { table_of(text); }).find("not closed"), std::string::npos);
  EXPECT_LT(std::chrono::steady_clock::now() - from, std::chrono::seconds(20));
}

TEST(Table, FromMemory) {
  Table t;
  const std::vector<double> v{1, NAN};
  t.add("v", v).add("s", std::vector<std::string>{"x", "y"});
  EXPECT_EQ(text_of<ConfigError>([&] { t.numbers("v"); }),
            "column 'v', row 2 is nan; every value must be finite");
  EXPECT_TRUE(t.has("s"));
  EXPECT_FALSE(t.has("w"));
  EXPECT_THROW(t.add("v", v), ConfigError);
  EXPECT_THROW(t.add("", v), ConfigError);
}

}  // namespace
}  // namespace reeve::inference
