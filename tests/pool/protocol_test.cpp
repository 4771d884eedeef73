// Values that crash, throw or lie on their way to a worker and back (scenarios 4, 5, 7 to 10, 15).
#include <set>
#include <stdexcept>

#include "tests/pool/scenario_support.hpp"

namespace reeve::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

const int program = getpid();

bool in_worker() {
  return getpid() != program;
}

/// Where a parcel does what it does.
enum class Trap : std::uint64_t {
  none,
  throw_when_packed,
  crash_when_unpacked_there,
  throw_when_unpacked_there,
  crash_when_packed_there,
  throw_when_packed_there,
  throw_something_else_there,
  throw_when_unpacked_here
};

struct Parcel {
  Trap trap = Trap::none;
  std::vector<char> load;
};

struct NoStandardException {
  int code = 0;
};

}  // namespace
}  // namespace reeve::test

template <>
struct reeve::codec::Codec<reeve::test::Parcel> {
  using Trap = reeve::test::Trap;
  static void encode(Writer& writer, const reeve::test::Parcel& parcel) {
    const bool there = reeve::test::in_worker();
    writer.write_size(static_cast<std::uint64_t>(parcel.trap));
    Codec<std::vector<char>>::encode(writer, parcel.load);  // the frame is half written
    if (there && parcel.trap == Trap::crash_when_packed_there) raise(SIGSEGV);
    if (there && parcel.trap == Trap::throw_when_packed_there) throw std::range_error("no form");
    if (there && parcel.trap == Trap::throw_something_else_there)
      throw reeve::test::NoStandardException{7};
    if (!there && parcel.trap == Trap::throw_when_packed) throw EncodeError("cannot be packed");
  }
  static reeve::test::Parcel decode(Reader& reader) {
    const bool there = reeve::test::in_worker();
    reeve::test::Parcel parcel;
    parcel.trap = static_cast<Trap>(reader.read_size());
    if (there && parcel.trap == Trap::crash_when_unpacked_there) raise(SIGSEGV);
    if (there && parcel.trap == Trap::throw_when_unpacked_there) throw DecodeError("bad parcel");
    if (!there && parcel.trap == Trap::throw_when_unpacked_here) throw DecodeError("bad answer");
    parcel.load = Codec<std::vector<char>>::decode(reader);
    return parcel;
  }
};

namespace reeve::test {
namespace {

Parcel send_back(const Parcel& parcel) {
  return parcel;
}

asio::awaitable<std::size_t> deliver(ResourcePool& pool, Trap trap, std::size_t size = 1000) {
  auto worker = co_await pool.acquire_worker("delivery");
  Parcel parcel;
  parcel.trap = trap;
  parcel.load.resize(size);
  const Parcel back = co_await worker.run<&send_back>(parcel);
  co_return back.load.size();
}

class Protocol : public testing::Test {
 protected:
  asio::io_context context;
  ResourcePool pool{context.get_executor(), small_config()};
  std::shared_ptr<WorkerLease> innocent;

  void SetUp() override { innocent = run_in(context, hold(pool, "innocent")); }

  /// Whatever happened to the other lease: this one never heard of it.
  void expect_unharmed() {
    EXPECT_FALSE(innocent->revoked());
    EXPECT_EQ(run_in(context, innocent->run<&add>(1, 2)), 3);
    expect_pool_works(context, pool);
  }
};

// 4
TEST_F(Protocol, a_crash_while_arguments_are_decoded_is_a_crash) {
  const auto error =
      error_of<WorkerCrashedError>(context, deliver(pool, Trap::crash_when_unpacked_there));
  ASSERT_TRUE(error);
  EXPECT_THAT(error->what(), AllOf(HasSubstr("'delivery'"), HasSubstr("SIGSEGV")));
  expect_unharmed();
}

// 5
TEST_F(Protocol, a_crash_while_the_result_is_encoded_is_a_crash) {
  const auto error =
      error_of<WorkerCrashedError>(context, deliver(pool, Trap::crash_when_packed_there));
  ASSERT_TRUE(error);
  EXPECT_THAT(error->what(), AllOf(HasSubstr("'delivery'"), HasSubstr("SIGSEGV")));
  expect_unharmed();
}

// 7: a value that cannot be packed fails its own call and harms neither worker nor peers.
TEST_F(Protocol, an_argument_that_cannot_be_encoded_fails_at_once) {
  const auto error = error_of<codec::EncodeError>(context, deliver(pool, Trap::throw_when_packed));
  ASSERT_TRUE(error);
  EXPECT_EQ(pool.status().spawns, 2u) << "no worker was needed for that, or lost";
  expect_unharmed();
}

// 7
TEST_F(Protocol, a_result_that_cannot_be_encoded_is_an_exception_of_the_task) {
  const auto error =
      error_of<std::range_error>(context, deliver(pool, Trap::throw_when_packed_there));
  ASSERT_TRUE(error);
  EXPECT_STREQ(error->what(), "no form");
  const auto other =
      error_of<RemoteError>(context, deliver(pool, Trap::throw_something_else_there));
  ASSERT_TRUE(other);
  EXPECT_THAT(other->type(), HasSubstr("NoStandardException"));
  expect_unharmed();
}

// 4: decoding that throws instead of crashing is an exception like the task's own.
TEST_F(Protocol, an_argument_that_cannot_be_decoded_is_reported) {
  EXPECT_THAT([&] { run_in(context, deliver(pool, Trap::throw_when_unpacked_there)); },
              testing::ThrowsMessage<std::exception>(HasSubstr("bad parcel")));
  expect_unharmed();
}

// 7: 100 bad, then 100 good ones, all submitted at once.
TEST_F(Protocol, a_hundred_bad_submissions_and_a_hundred_good_ones_do_not_hang) {
  const Trap bad[] = {Trap::throw_when_packed, Trap::throw_when_packed_there,
                      Trap::throw_when_unpacked_here, Trap::throw_when_unpacked_there};
  int failed = 0, delivered = 0;
  for (int i = 0; i < 200; ++i) {
    const Trap trap = i < 100 ? bad[i % 4] : Trap::none;
    asio::co_spawn(context, deliver(pool, trap), [&](std::exception_ptr failure, std::size_t) {
      ++(failure ? failed : delivered);
    });
  }
  EXPECT_TRUE(run_until(context, [&] { return failed + delivered == 200; }, 20s));
  EXPECT_EQ(failed, 100);
  EXPECT_EQ(delivered, 100);
  EXPECT_EQ(pool.status().deaths.crashed, 0u);
  expect_unharmed();
}

asio::awaitable<void> deliver_badly_then_well(ResourcePool& pool, std::string& error) {
  auto worker = co_await pool.acquire_worker("delivery");
  Parcel parcel;
  parcel.trap = Trap::throw_when_unpacked_here;
  try {
    co_await worker.run<&send_back>(parcel);
  } catch (const codec::DecodeError& e) {
    error = e.what();
  }
  parcel.trap = Trap::none;
  parcel.load.assign(77, 'x');
  const Parcel back = co_await worker.run<&send_back>(parcel);
  EXPECT_EQ(back.load.size(), 77u);
}

// 8: the program cannot read the result: that call only, not even its lease.
TEST_F(Protocol, a_result_that_cannot_be_decoded_fails_its_call_only) {
  std::string error;
  run_in(context, deliver_badly_then_well(pool, error));
  EXPECT_THAT(error, HasSubstr("bad answer"));
  expect_unharmed();
}

struct HoldsAddress {
  int* address = nullptr;
};

// 9: what has no byte form does not compile; these concepts are what the static assertions ask.
TEST(ProtocolTypes, what_cannot_travel_does_not_compile) {
  EXPECT_FALSE(codec::Argument<HoldsAddress> || codec::Result<HoldsAddress>);
  EXPECT_FALSE(codec::Argument<std::thread> || codec::Result<std::mutex>);
  EXPECT_FALSE(codec::Result<std::string_view>) << "a view of the worker's memory";
  EXPECT_TRUE(codec::Argument<Parcel> && codec::Result<Parcel>);
}

// ------------------------------------------------------------------------------------------------
// Arguments, small ones and large ones, that are still being written when their worker dies.

/// Kills the worker it is meant for as it is written.
struct Bomb {
  int worker = 0;
};

int take_bomb(const std::vector<char>& before, const Bomb&, const std::vector<char>& after) {
  return static_cast<int>(before.size() + after.size());
}

}  // namespace
}  // namespace reeve::test

template <>
struct reeve::codec::Codec<reeve::test::Bomb> {
  static void encode(Writer& writer, const reeve::test::Bomb& bomb) {
    writer.write_size(static_cast<std::uint64_t>(bomb.worker));
    if (bomb.worker != 0) kill(bomb.worker, SIGKILL);
  }
  static reeve::test::Bomb decode(Reader& reader) { return {static_cast<int>(reader.read_size())}; }
};

namespace reeve::test {
namespace {

struct Deliveries {
  int lost = 0, done = 0, other = 0;
};

asio::awaitable<void> send_bomb(ResourcePool& pool, std::size_t size, bool armed,
                                Deliveries& count) {
  try {
    auto worker = co_await pool.acquire_worker("bomb");
    const std::vector<char> load(size);
    Bomb bomb;
    bomb.worker = armed ? worker.pid() : 0;
    const int got = co_await worker.run<&take_bomb>(load, bomb, load);
    ++(got == static_cast<int>(2 * size) ? count.done : count.other);
  } catch (const WorkerLostError&) {
    ++count.lost;
  }
}

// 10
TEST(ProtocolLoad, workers_die_while_arguments_are_written) {
  asio::io_context context;
  ResourceConfig config = small_config();
  config.max_workers = 10;
  config.worker_memory = 4_GiB;  // a thread sanitizer keeps a shadow of all that is copied
  ResourcePool pool(context.get_executor(), config);
  Deliveries count;
  for (const std::size_t size : {64u << 10, 1u << 20, 50u << 20}) {
    for (int i = 0; i < (size > (1u << 20) ? 2 : 4); ++i) {
      spawn(context, send_bomb(pool, size, i % 2 == 0, count));
    }
  }
  EXPECT_TRUE(run_until(context, [&] { return count.lost + count.done + count.other == 10; }, 40s));
  EXPECT_EQ(count.done, 10) << "nothing had begun: others did the work of those that died";
  EXPECT_EQ(pool.status().deaths.lost, 5u);
  EXPECT_TRUE(run_until(context, [&] { return pool.status().active_tasks == 0; }));
  expect_pool_works(context, pool);
}

// ------------------------------------------------------------------------------------------------
// What the task throws arrives as it was.

void throw_nested() {
  try {
    try {
      throw std::out_of_range("index 9");
    } catch (...) {
      std::throw_with_nested(std::runtime_error("cannot read the row"));
    }
  } catch (...) {
    std::throw_with_nested(std::logic_error("cannot fit the model"));
  }
}
void throw_a_number() {
  throw 42;
}
void throw_a_text() {
  throw std::string("only a text");
}
void throw_own_type() {
  throw NoStandardException{3};
}
void throw_error_code() {
  throw std::system_error(ENOSPC, std::generic_category(), "writing draws");
}

// 15
TEST_F(Protocol, a_nested_exception_keeps_its_chain) {
  const auto error = error_of<RemoteError>(context, call_once<&throw_nested>(pool, "nested"));
  ASSERT_TRUE(error);
  ASSERT_EQ(error->chain().size(), 3u);
  EXPECT_THAT(error->chain()[0].type, HasSubstr("std::logic_error"));
  EXPECT_EQ(error->chain()[0].what, "cannot fit the model");
  EXPECT_EQ(error->chain()[1].what, "cannot read the row");
  EXPECT_THAT(error->chain()[2].type, HasSubstr("std::out_of_range"));
  EXPECT_EQ(error->chain()[2].what, "index 9");
  EXPECT_EQ(error->task(), "nested");
  EXPECT_THAT(error->what(), AllOf(HasSubstr("'nested'"), HasSubstr("cannot fit the model")));
  expect_unharmed();
}

// 15
TEST_F(Protocol, what_is_no_exception_type_still_has_a_name) {
  const auto number = error_of<RemoteError>(context, call_once<&throw_a_number>(pool, "number"));
  ASSERT_TRUE(number);
  EXPECT_EQ(number->type(), "int");
  EXPECT_THAT(number->what(), HasSubstr("42"));
  const auto text = error_of<RemoteError>(context, call_once<&throw_a_text>(pool, "text"));
  ASSERT_TRUE(text);
  EXPECT_THAT(text->what(), HasSubstr("only a text"));
  const auto own = error_of<RemoteError>(context, call_once<&throw_own_type>(pool, "own"));
  ASSERT_TRUE(own);
  EXPECT_THAT(own->type(), HasSubstr("NoStandardException"));
  EXPECT_GT(own->evidence().pid, 0);
  EXPECT_EQ(pool.status().spawns, 2u) << "an exception costs no worker";
  expect_unharmed();
}

// 15
TEST_F(Protocol, an_error_code_arrives_with_its_category) {
  const auto error =
      error_of<std::system_error>(context, call_once<&throw_error_code>(pool, "code"));
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), std::errc::no_space_on_device);
  expect_unharmed();
}

}  // namespace
}  // namespace reeve::test
