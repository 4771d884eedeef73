// The warden alone: what it answers, what it does not believe, and whom it ends.
#include "process/warden.hpp"

#include "tests/process/warden_test_support.hpp"

namespace reeve::process {
namespace {

std::size_t descriptors_of(int pid) {
  const std::filesystem::directory_iterator fds("/proc/" + std::to_string(pid) + "/fd"), end;
  return static_cast<std::size_t>(std::distance(begin(fds), end));
}

TEST(Warden, says_hello_and_sleeps_without_work) {
  Program program;
  const auto hello = program.next();
  ASSERT_TRUE(hello);
  EXPECT_EQ(hello->kind, MessageKind::hello);
  EXPECT_GE(hello->threads, 1u);
  EXPECT_GT(hello->baseline, 0u);
}

TEST(Warden, starts_a_worker_and_tells_how_it_was_ended) {
  Program program;
  Hand worker(program, 2, 17);
  const int pid = worker.start();
  ASSERT_GT(pid, 0);
  worker.kill(Cause::cancelled);
  const auto revoked = program.next();
  ASSERT_TRUE(revoked);
  EXPECT_EQ(revoked->kind, MessageKind::revoked);
  EXPECT_EQ(revoked->cause, Cause::cancelled);
  const auto exited = program.next();
  ASSERT_TRUE(exited);
  EXPECT_EQ(exited->kind, MessageKind::exited);
  EXPECT_EQ(exited->slot, 2u);
  EXPECT_EQ(exited->incarnation, 17u);
  EXPECT_EQ(exited->cause, Cause::cancelled);
  EXPECT_EQ(exited->died_by_signal, 1);
  EXPECT_EQ(exited->status, SIGKILL);
  EXPECT_EQ(exited->tree_complete, 1);
  EXPECT_GE(exited->dead_at, exited->decided_at);
  EXPECT_NE(::kill(pid, 0), 0) << "dead means gone";
}

TEST(Warden, an_occupied_slot_is_busy) {
  Program program;
  Hand first(program, 0, 1), second(program, 0, 2);
  ASSERT_GT(first.start(), 0);
  EXPECT_EQ(second.start(), 0);
  EXPECT_EQ(second.error, EBUSY);
}

TEST(Warden, kills_no_other_incarnation) {
  Program program;
  Hand worker(program, 1, 5), old(program, 1, 4);
  const int pid = worker.start();
  old.kill(Cause::timeout);
  Hand other(program, 3, 9);
  ASSERT_GT(other.start(), 0);  // the order before it has been read by now
  EXPECT_EQ(::kill(pid, 0), 0);
}

// 11: frames that are too short or too long, without or with too many descriptors, of unknown kind,
// for slots that do not exist: dropped, descriptors and all.
TEST(Warden, drops_malformed_and_oversized_messages) {
  Program program;
  Hand worker(program, 0, 1);
  const int pid = worker.start();
  ASSERT_GT(pid, 0);
  const std::size_t before = descriptors_of(program.warden());
  std::vector<char> bytes(4096, '\x7f');
  const int fd = worker.channel().fd();
  for (const std::size_t size :
       {std::size_t{1}, sizeof(Command) - 1, sizeof(Command) + 1, bytes.size()}) {
    program.send(bytes.data(), size);
    program.send(bytes.data(), size, {fd, fd});
  }
  Command command = worker.command(MessageKind::spawn);
  command.slot = 5;
  program.send(command);               // no descriptors
  program.send(command, {fd});         // one is missing
  command.slot = Program::slot_count;  // beyond the board
  program.send(command, {fd, fd});
  command.slot = ~0u;
  program.send(command, {fd, fd});
  command = worker.command(static_cast<MessageKind>(77));
  program.send(command, {fd, fd});
  program.send(worker.command(MessageKind::exited));
  command = worker.command(MessageKind::kill);
  command.cause = Cause::timeout;
  std::memcpy(bytes.data(), &command, sizeof command);
  program.send(bytes.data(), sizeof command + 50);  // begins like an order, and is none
  command.incarnation = 99;
  program.send(command, {fd, fd, fd, fd, fd, fd, fd, fd});
  Hand next(program, 6, 2);
  next.order_start();
  next.kill(Cause::shutdown);
  // Who waits for a worker is told that there will be none.
  for (int i = 0; i < 2; ++i) {
    const auto report = program.next();
    ASSERT_TRUE(report);
    EXPECT_EQ(report->kind, MessageKind::spawned);
    EXPECT_EQ(report->slot, 5u);
    EXPECT_EQ(report->error, EMFILE);
  }
  // It still does its work, and has done nothing else.
  for (const MessageKind kind : {MessageKind::spawned, MessageKind::revoked, MessageKind::exited}) {
    const auto report = program.next();
    ASSERT_TRUE(report);
    EXPECT_EQ(report->kind, kind);
    EXPECT_EQ(report->slot, 6u);
  }
  EXPECT_FALSE(Program::ended(pid));
  EXPECT_LE(descriptors_of(program.warden()), before);
}

TEST(Warden, keeps_a_deadline_and_decides_the_cause) {
  Program program;
  Hand worker(program, 0, 1);
  ASSERT_GT(worker.start(), 0);
  BoardSlot& slot = program.slot(0);
  const std::int64_t deadline = monotonic_ns() + 20'000'000;
  slot.deadline = deadline;
  slot.word = LeaseWord(1, Cause::active).bits();
  program.wake();
  const auto revoked = program.next();
  ASSERT_TRUE(revoked);
  EXPECT_EQ(revoked->kind, MessageKind::revoked);
  EXPECT_EQ(revoked->cause, Cause::timeout);
  EXPECT_EQ(LeaseWord(slot.word).cause(), Cause::timeout);
  EXPECT_GE(revoked->decided_at, deadline);
  EXPECT_EQ(revoked->limit, static_cast<std::uint64_t>(deadline));
  const auto exited = program.next();
  ASSERT_TRUE(exited);
  EXPECT_EQ(exited->cause, Cause::timeout);
}

TEST(Warden, leaves_a_worker_alone_whose_lease_was_decided_otherwise) {
  Program program;
  Hand worker(program, 0, 1);
  const int pid = worker.start();
  BoardSlot& slot = program.slot(0);
  slot.deadline = monotonic_ns() - 1;
  slot.word = LeaseWord(1, Cause::none).bits();  // the lease has ended by itself
  program.wake();
  Hand other(program, 1, 2);
  ASSERT_GT(other.start(), 0);
  usleep(20'000);  // time to do the wrong thing
  EXPECT_EQ(::kill(pid, 0), 0);
  EXPECT_EQ(LeaseWord(slot.word).cause(), Cause::none);
}

TEST(Warden, ends_all_when_the_program_goes) {
  Program program;
  std::vector<std::unique_ptr<Hand>> workers;
  std::vector<int> pids;
  for (std::uint32_t i = 0; i < 4; ++i) {
    workers.push_back(std::make_unique<Hand>(program, i, i + 1));
    pids.push_back(workers.back()->start());
  }
  program.end();
  for (const int pid : pids) EXPECT_TRUE(Program::gone(pid));
  EXPECT_TRUE(Program::gone(program.warden()));
}

TEST(Warden, does_not_serve_a_board_of_another_version) {
  Program program(plain_settings(), board_magic + 1);
  EXPECT_FALSE(program.next());
  EXPECT_TRUE(Program::gone(program.warden()));
}

int print_and_exit(int status) {
  for (int i = 0; i < 1000; ++i) std::fprintf(stderr, "line %d\n", i);
  _exit(status);
}

TEST(Warden, keeps_the_tail_of_captured_output) {
  WorkerSettings settings = plain_settings();
  settings.capture_output = 1;
  Program program(settings);
  Hand worker(program, 0, 1);
  ASSERT_GT(worker.start(), 0);
  using Call = codec::CallTraits<codec::FunctionConstant<&print_and_exit>, int>;
  codec::OwnedBuffer arguments;
  const int status = 6;
  Call::encode_arguments(arguments.writer(), {}, status);
  EXPECT_FALSE(worker.request(codec::identify(Call::descriptor()), arguments.bytes(),
                              [](ChannelHeader&) {}));
  const auto exited = program.next(MessageKind::exited);
  ASSERT_TRUE(exited);
  EXPECT_EQ(exited->died_by_signal, 0);
  EXPECT_EQ(exited->status, 6);
  ASSERT_LE(exited->tail_size, tail_bytes);
  const std::string tail(exited->tail, exited->tail_size);
  EXPECT_GT(tail.size(), 1000u);
  EXPECT_TRUE(tail.ends_with("line 999\n")) << tail;
}

}  // namespace
}  // namespace reeve::process
