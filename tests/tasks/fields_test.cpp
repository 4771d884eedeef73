// Json and Fields against Boost.JSON as the oracle, and their refusals.
#include <reeve/tasks/error.hpp>
#include <reeve/tasks/fields.hpp>

#include <boost/json/src.hpp>

#include "tasks/json_text.hpp"
#include "tests/support/pch.hpp"

namespace reeve::tasks {
namespace {

bool oracle_accepts(std::string_view text) {
  boost::json::error_code error;
  boost::json::parse(boost::json::string_view(text.data(), text.size()), error);
  return !error;
}

TEST(Json, AgreesWithTheOracleOnHandPickedTexts) {
  for (const std::string text : {"null",
                                 " true ",
                                 "false",
                                 "0",
                                 "-0",
                                 "01",
                                 "-",
                                 "1.",
                                 "1.5",
                                 ".5",
                                 "1e5",
                                 "1e",
                                 "1E+5",
                                 "1e-",
                                 "\"\"",
                                 "\"a\\u0041\"",
                                 "\"\\ud83d\\ude00\"",
                                 "\"\\ud83d\"",
                                 "\"\\ude00\"",
                                 "\"\\x\"",
                                 "\"\n\"",
                                 "[]",
                                 "[1,2]",
                                 "[1,]",
                                 "[,1]",
                                 "{}",
                                 "{\"a\":1}",
                                 "{\"a\":1,}",
                                 "{a:1}",
                                 "{\"a\" : [ {} , [] ] }",
                                 "",
                                 " ",
                                 "nul",
                                 "nulll",
                                 "1 2",
                                 "{\"a\":}",
                                 "[1 2]",
                                 "\"abc",
                                 "\"\xff\"",
                                 "\"\xc3\xa9\"",
                                 "\"\xc0\xaf\"",
                                 "\"\xed\xa0\x80\"",
                                 "[[[[[[1]]]]]]",
                                 "+1"})
    EXPECT_EQ(!detail::find_json_fault(text), oracle_accepts(text)) << text;
}

RC_GTEST_PROP(JsonProperty, AgreesWithTheOracleOnMutatedTexts, ()) {
  std::string text = R"({"a":[1,-2.5e3,"x\u00e9\n"],"b":{"c":null,"d":true},"e":"\ud83d\ude00"})";
  const int edits = *rc::gen::inRange(0, 4);
  for (int i = 0; i < edits; ++i) {
    const auto at = *rc::gen::inRange<std::size_t>(0, text.size());
    const auto what = *rc::gen::inRange(0, 3);
    const char c = *rc::gen::elementOf(std::string("{}[]\",:0e.-\\u \x01\xc3"));
    if (what == 0) text.erase(at, 1);
    if (what == 1) text.insert(at, 1, c);
    if (what == 2) text[at] = c;
    if (text.empty()) text = "{}";
  }
  RC_ASSERT(!detail::find_json_fault(text) == oracle_accepts(text));
}

RC_GTEST_PROP(JsonProperty, StringsReadBack, ()) {
  const auto pieces = *rc::gen::container<std::vector<std::string>>(rc::gen::elementOf(
      std::vector<std::string>{"a", "\"", "\\", "\n", "\x01", "é", "😀", "\x7f"}));
  std::string bytes;
  for (const auto& piece : pieces) bytes += piece;
  const Json json = Json::string(bytes);
  RC_ASSERT(!detail::find_json_fault(json.text()));
  RC_ASSERT(detail::unquote(json.text()) == bytes);
}

RC_GTEST_PROP(FieldsProperty, BehavesLikeAMap, ()) {
  std::map<std::string, int> model;
  Fields fields;
  const auto steps = *rc::gen::inRange(0, 30);
  for (int i = 0; i < steps; ++i) {
    const std::string name = *rc::gen::elementOf(std::vector<std::string>{"a", "b\"", "\n", "é"});
    const int value = *rc::gen::inRange(-5, 5);
    if (*rc::gen::arbitrary<bool>()) {
      fields.set(name, value);
      model[name] = value;
    } else {
      fields.erase(name);
      model.erase(name);
    }
    RC_ASSERT(Fields::parse(fields.text()).text() == fields.text());
    for (const auto& [key, expected] : model)
      RC_ASSERT(fields.get(key) == std::to_string(expected));
    RC_ASSERT(detail::members_of(fields.text()).size() == model.size());
  }
}

TEST(Fields, MergeReplacesAndAdds) {
  Fields a = Fields::parse(R"( { "x" : 1 , "y" : [1, 2] } )");
  Fields b;
  b.set("y", "new").set("z", true);
  a.merge(b);
  EXPECT_EQ(a.text(), R"({"x":1,"y":"new","z":true})");
}

TEST(Fields, RefusesWhatIsNoObject) {
  for (const char* text : {"[]", "1", "", "{\"a\":1,\"a\":2}", "{\"\":1}", "{\"a\":NaN}"})
    EXPECT_THROW(Fields::parse(text), TaskError) << text;
  EXPECT_THROW(Fields().set("x", std::nan("")), TaskError);
  EXPECT_THROW(Fields().set("x", std::string_view("\xff")), TaskError);
}

TEST(Json, DepthIsLimitedTo32) {
  const auto nested = [](int n) { return std::string(n, '[') + std::string(n, ']'); };
  EXPECT_NO_THROW(Json::parse(nested(32)));
  EXPECT_THROW(Json::parse(nested(33)), TaskError);
}

}  // namespace
}  // namespace reeve::tasks
