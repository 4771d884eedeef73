// The CSV reader says where it stumbled.
#include <examples/study/dataset.hpp>

#include <sstream>

namespace study {
namespace {

Dataset parse(const std::string& text) {
  std::istringstream in(text);
  return read_csv(in, "some.csv");
}

template <class Work>
std::string complaint(Work work) {
  try {
    work();
  } catch (const DataError& error) {
    return error.what();
  }
  return "no error";
}

TEST(Dataset, ReadsColumnsByName) {
  const auto data = parse("a,b\r\n1,x\r\n\r\n-2.5e1,y\r\n");
  EXPECT_EQ(numbers(data, "a"), (std::vector<double>{1, -25}));
  EXPECT_EQ(data.rows[1].line, 4);
}

TEST(Dataset, ChoosesRowsByValue) {
  const auto chosen = rows_where(parse("a,b\n1,x\n2,y\n3,x\n"), "b", "x");
  EXPECT_EQ(numbers(chosen, "a"), (std::vector<double>{1, 3}));
}

TEST(Dataset, NamesLineAndColumnOfABadNumber) {
  for (const char* bad : {"abc", "", "1x", "nan", "inf", " 1", "1e999"}) {
    const auto text =
        complaint([&] { numbers(parse("a,b\n0,1\n0," + std::string(bad) + "\n"), "b"); });
    EXPECT_THAT(text,
                testing::StartsWith("some.csv:3: column 'b' holds '" + std::string(bad) + "'"));
  }
}

TEST(Dataset, NamesTheLineOfARaggedRow) {
  EXPECT_THAT(complaint([] { parse("a,b\n1,2\n1\n"); }),
              testing::StartsWith("some.csv:3: has 1 cells where the header names 2"));
  EXPECT_THAT(complaint([] { parse("a\n1,2\n"); }), testing::StartsWith("some.csv:2:"));
}

TEST(Dataset, RejectsBadHeaders) {
  EXPECT_THAT(complaint([] { parse(""); }),
              testing::StartsWith("some.csv:1: the header is missing"));
  EXPECT_THAT(complaint([] { parse("a,,b\n"); }), testing::HasSubstr("has no name"));
  EXPECT_THAT(complaint([] { parse("a,b,a\n"); }), testing::HasSubstr("'a' appears twice"));
}

TEST(Dataset, NamesWhatIsMissing) {
  EXPECT_THAT(complaint([] { read_csv("/nowhere/x.csv"); }),
              testing::StartsWith("/nowhere/x.csv:"));
  const auto data = parse("a,b\n1,2\n");
  EXPECT_THAT(complaint([&] { numbers(data, "c"); }),
              testing::HasSubstr("'c'; the file has: a, b"));
  EXPECT_THAT(complaint([&] { rows_where(data, "b", "9"); }),
              testing::HasSubstr("'9' in column 'b'"));
}

}  // namespace
}  // namespace study
