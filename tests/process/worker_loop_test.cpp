// A worker that is spoken to by hand: good requests, and requests that make no sense.
#include "process/worker_loop.hpp"

#include <reeve/codec/exception_record.hpp>

#include "tests/process/warden_test_support.hpp"

namespace reeve::process {
namespace {

int add(int a, int b) {
  return a + b;
}
std::vector<char> make_bytes(std::size_t count) {
  return std::vector<char>(count, 'b');
}
int fail(int value) {
  throw std::out_of_range("value " + std::to_string(value));
}

template <auto Fn, class... Args>
struct Prepared {
  using Call = codec::CallTraits<codec::FunctionConstant<Fn>, Args...>;
  explicit Prepared(Args... args) {
    Call::encode_arguments(arguments.writer(), codec::FunctionConstant<Fn>{}, args...);
  }
  codec::FunctionId id = codec::identify(Call::descriptor());
  codec::OwnedBuffer arguments;
};

constexpr auto as_it_is = [](ChannelHeader&) {};

class WorkerLoopTest : public ::testing::Test {
 protected:
  Program program;
  Hand worker{program, 0, 1};
  int pid = 0;

  void SetUp() override { ASSERT_GT(pid = worker.start(), 0); }

  ReplyKind kind() { return static_cast<ReplyKind>(worker.header().reply_kind); }
  int value() {
    codec::Reader reader(worker.reply());
    return codec::decode<int>(reader);
  }
  void expect_it_serves() {
    Prepared<&add, int, int> call(40, 2);
    ASSERT_TRUE(worker.request(call.id, call.arguments.bytes(), as_it_is));
    EXPECT_EQ(kind(), ReplyKind::value);
    EXPECT_EQ(value(), 42);
    EXPECT_EQ(worker.header().dirt, 0u);
  }
  void expect_it_ends(int status) {
    const auto exited = program.next(MessageKind::exited);
    ASSERT_TRUE(exited);
    EXPECT_EQ(exited->status, status);
    EXPECT_EQ(exited->died_by_signal, 0);
  }
};

TEST_F(WorkerLoopTest, answers_again_and_again) {
  for (int i = 0; i < 200; ++i) expect_it_serves();
  EXPECT_EQ(::kill(pid, 0), 0);
}

TEST_F(WorkerLoopTest, sends_an_exception_as_one) {
  Prepared<&fail, int> call(3);
  ASSERT_TRUE(worker.request(call.id, call.arguments.bytes(), as_it_is));
  ASSERT_EQ(kind(), ReplyKind::exception);
  codec::Reader reader(worker.reply());
  EXPECT_EQ(codec::decode<codec::ExceptionRecord>(reader).what(), "value 3");
  expect_it_serves();
}

TEST_F(WorkerLoopTest, refuses_a_function_that_it_does_not_have) {
  Prepared<&add, int, int> call(1, 2);
  for (const codec::FunctionId id :
       {codec::FunctionId{call.id.module, call.id.offset + 16}, codec::FunctionId{1, 2},
        codec::FunctionId{call.id.module, ~std::uint64_t{0}}, codec::FunctionId{}}) {
    ASSERT_TRUE(worker.request(id, call.arguments.bytes(), as_it_is));
    EXPECT_EQ(kind(), ReplyKind::refused);
    EXPECT_FALSE(worker.reply().empty()) << "it says why";
  }
  expect_it_serves();
}

TEST_F(WorkerLoopTest, arguments_of_the_wrong_length_are_an_exception) {
  Prepared<&add, int, int> call(1, 2);
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{3}, call.arguments.bytes().size() + 9}) {
    ASSERT_TRUE(worker.request(call.id, call.arguments.bytes(),
                               [size](ChannelHeader& page) { page.argument_bytes = size; }));
    EXPECT_EQ(kind(), ReplyKind::exception) << size;
  }
  expect_it_serves();
}

TEST_F(WorkerLoopTest, a_result_beyond_the_window_is_an_exception) {
  Prepared<&make_bytes, std::size_t> call(std::size_t{1} << 20);
  ASSERT_TRUE(worker.request(call.id, call.arguments.bytes(), as_it_is));
  ASSERT_EQ(kind(), ReplyKind::exception);
  codec::Reader reader(worker.reply());
  EXPECT_THAT(codec::decode<codec::ExceptionRecord>(reader).what(),
              ::testing::HasSubstr("message_max"));
  expect_it_serves();
}

TEST_F(WorkerLoopTest, a_large_result_grows_the_file) {
  Prepared<&make_bytes, std::size_t> call(std::size_t{500'000});
  const std::size_t before = worker.channel().file_bytes();
  ASSERT_TRUE(worker.request(call.id, call.arguments.bytes(), as_it_is));
  ASSERT_EQ(kind(), ReplyKind::value);
  codec::Reader reader(worker.reply());
  EXPECT_EQ(codec::decode<std::vector<char>>(reader).size(), 500'000u);
  EXPECT_GT(worker.channel().file_bytes(), before);
}

TEST_F(WorkerLoopTest, a_place_for_the_reply_beyond_the_window_is_not_written_to) {
  Prepared<&add, int, int> call(1, 2);
  ASSERT_TRUE(worker.request(call.id, call.arguments.bytes(),
                             [](ChannelHeader& page) { page.reply_from = ~std::uint64_t{0}; }));
  EXPECT_NE(kind(), ReplyKind::value);
}

TEST_F(WorkerLoopTest, arguments_beyond_the_window_end_the_worker) {
  Prepared<&add, int, int> call(1, 2);
  EXPECT_FALSE(worker.request(call.id, call.arguments.bytes(), [](ChannelHeader& page) {
    page.argument_offset = ~std::uint64_t{0} - 7;
    page.argument_bytes = 16;
  }));
  expect_it_ends(125);
}

}  // namespace
}  // namespace reeve::process
