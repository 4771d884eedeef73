// Calls and chunks through bytes, as a worker makes them.
#include <reeve/codec/task.hpp>

#include <reeve/codec/exception_record.hpp>

#include <numeric>

#include "tests/support/pch.hpp"

namespace reeve::codec {
namespace {

double simulate(double x, int steps) {
  return x * steps;
}
double sum(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}
std::string greet(std::string name, const std::string& greeting) {
  return greeting + ", " + name;
}
int calls = 0;
void count_call() {
  ++calls;
}

template <class F, class... Args>
typename CallTraits<F, Args...>::result through_bytes(F f, Args&&... args) {
  using Call = CallTraits<F, Args...>;
  OwnedBuffer request, reply;
  const FunctionId id = identify(Call::descriptor());
  Call::encode_arguments(request.writer(), f, args...);
  Reader arguments(request.bytes());
  resolve(id).call(arguments, reply.writer());
  Reader result(reply.bytes());
  return Call::decode_result(result);
}

TEST(Task, lambdas_functions_and_pointers_are_called_with_decoded_values) {
  EXPECT_EQ(through_bytes([](int a, std::string b) { return b + std::to_string(a); }, 5, "n="),
            "n=5");
  EXPECT_EQ(through_bytes(FunctionConstant<&simulate>{}, 0.5, 10), 5.0);
  EXPECT_EQ(through_bytes(&simulate, 0.5, 10), 5.0);
  EXPECT_EQ(through_bytes(&greet, "Ann", std::string("Hello")), "Hello, Ann");
  EXPECT_EQ(
      through_bytes([](std::string_view a, std::string_view b) { return a.size() + b.size(); },
                    "12", std::string_view("345")),
      5u);
  const char* text = "pointer";
  EXPECT_EQ(through_bytes([](const std::string& s) { return s; }, text), "pointer");
  std::vector<double> values{1, 2, 3.5};
  EXPECT_EQ(through_bytes(&sum, values), 6.5);
  EXPECT_EQ(through_bytes(FunctionConstant<&sum>{}, std::span<double>(values)), 6.5);
  calls = 0;
  through_bytes(&count_call);
  EXPECT_EQ(calls, 1);
  EXPECT_THROW(through_bytes([](std::string s) { return s; }, static_cast<const char*>(nullptr)),
               EncodeError);
}

TEST(Task, arguments_that_only_move_arrive) {
  EXPECT_EQ(through_bytes([](std::unique_ptr<int> p) { return std::make_unique<int>(*p + 1); },
                          std::make_unique<int>(4))
                .operator*(),
            5);
}

TEST(Task, a_forged_pointer_is_refused_before_the_call) {
  using Call = CallTraits<double (*)(double, int), double, int>;
  OwnedBuffer request, reply;
  const FunctionId id = identify_code(reinterpret_cast<const void*>(&simulate));
  encode(request.writer(), id.module, id.offset + 3, 1.0, 2);
  Reader arguments(request.bytes());
  EXPECT_THROW(Call::descriptor().call(arguments, reply.writer()), FunctionError);
}

TEST(Task, left_over_arguments_are_refused) {
  using Call = CallTraits<FunctionConstant<&simulate>, double, int>;
  OwnedBuffer request, reply;
  encode(request.writer(), 1.0, 2, 3);
  Reader arguments(request.bytes());
  EXPECT_THROW(Call::descriptor().call(arguments, reply.writer()), DecodeError);
}

template <class F, class Item>
auto map_through_bytes(F f, const std::vector<Item>& items) {
  using Chunk = ChunkTraits<F, Item>;
  OwnedBuffer request, reply;
  Chunk::encode_items(request.writer(), f, items.begin(), items.size());
  Reader arguments(request.bytes());
  resolve(identify(Chunk::descriptor())).call(arguments, reply.writer());
  Reader result(reply.bytes());
  std::vector<typename Chunk::result> results;
  const std::size_t count = Chunk::decode_results(result, items.size(), results);
  EXPECT_EQ(count, results.size());
  return results;
}

RC_GTEST_PROP(Task, a_chunk_maps_each_item_in_order, (const std::vector<std::string>& items)) {
  const auto sizes = map_through_bytes([](const std::string& s) { return s + "!"; }, items);
  RC_ASSERT(sizes.size() == items.size());
  for (std::size_t i = 0; i < items.size(); ++i) RC_ASSERT(sizes[i] == items[i] + "!");
}

TEST(Task, chunks_of_bools_and_by_pointer) {
  EXPECT_THAT(map_through_bytes([](bool b) { return !b; }, std::vector<bool>{true, false}),
              testing::ElementsAre(false, true));
  double (*square_root)(double) = [](double x) { return std::sqrt(x); };
  EXPECT_THAT(map_through_bytes(square_root, std::vector<double>{4, 9}),
              testing::ElementsAre(2, 3));
}

TEST(Task, the_hook_between_items_stops_a_chunk) {
  const auto before = exchange_between_items([](std::size_t done) { return done < 2; });
  const auto results = map_through_bytes([](int x) { return x * x; }, std::vector<int>{1, 2, 3, 4});
  exchange_between_items(before);
  EXPECT_THAT(results, testing::ElementsAre(1, 4));
}

TEST(Task, a_failing_item_is_named) {
  try {
    map_through_bytes(
        [](int x) {
          if (x == 3) throw std::out_of_range("three");
          return x;
        },
        std::vector<int>{1, 2, 3, 4});
    FAIL();
  } catch (const ItemFailure&) {
    const ExceptionRecord record = capture(std::current_exception());
    EXPECT_EQ(record.item, 2u);
    EXPECT_EQ(record.type(), "std::out_of_range");
    EXPECT_EQ(record.what(), "three");
  }
}

TEST(Task, a_reply_with_too_many_results_is_refused) {
  using Chunk = ChunkTraits<decltype([](int x) { return x; }), int>;
  OwnedBuffer reply;
  encode(reply.writer(), std::uint64_t{3}, 1, 2, 3);
  Reader reader(reply.bytes());
  std::vector<int> results;
  EXPECT_THROW(Chunk::decode_results(reader, 2, results), DecodeError);
}

}  // namespace
}  // namespace reeve::codec
