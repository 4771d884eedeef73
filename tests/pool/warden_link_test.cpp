// Frames to a warden that is played by the test: in order, never lost in silence, its end told.
#include "pool/warden_link.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/executor_work_guard.hpp>
#include <thread>

#include "tests/pool/pool_test_support.hpp"

namespace reeve::detail {
namespace {

using process::Command;
using process::MessageKind;
using process::Report;

class Link : public testing::Test, public LinkEvents {
 protected:
  void SetUp() override {
    process = fork();
    if (process == 0) {
      for (;;) pause();
    }
    int pair[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    warden_socket = os::UniqueFd(pair[1]);
    const std::lock_guard lock(mutex);
    link.open(os::UniqueFd(pair[0]), process);
  }
  void TearDown() override {
    {
      const std::lock_guard lock(mutex);
      link.close();
    }
    kill(process, SIGKILL);
    waitpid(process, nullptr, 0);
  }

  void on_report(const Report& report) override { reports.push_back(report); }
  void on_warden_ended() override {
    ++ends;
    if (following) link.open(std::move(following), getppid());
  }

  static Command command(MessageKind kind, std::uint32_t slot) {
    Command result{};
    result.kind = kind;
    result.slot = slot;
    return result;
  }
  void send(const Command& what, int channel = -1, int bell = -1) {
    const std::lock_guard lock(mutex);
    link.send(what, channel, bell);
  }
  /// The next frame that the warden reads, and how many descriptors came with it.
  std::optional<std::pair<Command, std::size_t>> receive() {
    Command got{};
    iovec part{&got, sizeof got};
    alignas(cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))];
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    if (recvmsg(warden_socket.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != sizeof got)
      return std::nullopt;
    std::size_t count = 0;
    if (const cmsghdr* header = CMSG_FIRSTHDR(&message)) {
      count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      int fds[2] = {-1, -1};
      std::memcpy(fds, CMSG_DATA(header), count * sizeof(int));
      for (const int fd : fds) {
        if (fd >= 0) close(fd);
      }
    }
    return std::pair(got, count);
  }
  bool is_open_again() {
    const std::lock_guard lock(mutex);
    return ends > 0 && link.is_open();
  }
  bool run_until(const std::function<bool()>& done) { return test::run_until(context, done); }

  boost::asio::io_context context;
  std::mutex mutex;
  int stands_for_the_pool = 0;
  /// The link asks only whether its pool lives.
  std::shared_ptr<Core> owner{std::make_shared<int>(),
                              reinterpret_cast<Core*>(&stands_for_the_pool)};
  WardenLink link{*this, owner, context.get_executor(), async::QuietWait(context), mutex};
  os::UniqueFd warden_socket;
  os::UniqueFd following;  // the socket of a warden that is started at the end of the first
  pid_t process = -1;
  std::vector<Report> reports;
  int ends = 0;
};

TEST_F(Link, keeps_the_order_when_the_warden_does_not_read) {
  constexpr std::uint32_t many = 3000;
  for (std::uint32_t slot = 0; slot < many; ++slot) {
    if (slot % 10 == 0) {
      send(command(MessageKind::spawn, slot), STDIN_FILENO, STDIN_FILENO);
    } else {
      send(command(MessageKind::kill, slot));
    }
  }
  std::uint32_t next = 0;
  const auto all_read = [&] {
    while (const auto frame = receive()) {
      EXPECT_EQ(frame->first.slot, next);
      EXPECT_EQ(frame->second, next % 10 == 0 ? 2u : 0u) << "frame " << next;
      ++next;
    }
    return next == many;
  };
  EXPECT_TRUE(run_until(all_read)) << next << " frames arrived";
}

TEST_F(Link, a_spawn_that_cannot_be_sent_is_an_error_at_once) {
  EXPECT_THROW(send(command(MessageKind::spawn, 7), 1 << 20, 1 << 20), SystemError);
  EXPECT_FALSE(receive());
  send(command(MessageKind::kill, 8));
  const auto frame = receive();
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->first.slot, 8u);
}

TEST_F(Link, reports_arrive_and_short_ones_do_not) {
  Report report{};
  report.kind = MessageKind::exited;
  report.slot = 3;
  const char rubbish[8] = {};
  ASSERT_GT(::send(warden_socket.get(), rubbish, sizeof rubbish, 0), 0);
  ASSERT_GT(::send(warden_socket.get(), &report, report.frame_bytes(), 0), 0);
  EXPECT_TRUE(run_until([&] { return !reports.empty(); }));
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_EQ(reports[0].slot, 3u);
}

TEST_F(Link, a_tail_is_no_longer_than_its_frame) {
  Report report{};
  report.kind = MessageKind::exited;
  report.tail_size = 1 << 30;
  ASSERT_GT(::send(warden_socket.get(), &report, sizeof report - process::tail_bytes + 5, 0), 0);
  EXPECT_TRUE(run_until([&] { return !reports.empty(); }));
  EXPECT_EQ(reports[0].tail_size, 5u);
}

TEST_F(Link, a_warden_that_follows_another_has_one_listener) {
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
  following = os::UniqueFd(pair[0]);
  context.poll();  // the first is listened to
  warden_socket = os::UniqueFd(pair[1]);
  EXPECT_TRUE(run_until([&] { return ends == 1; }));
  context.restart();
  const auto work = boost::asio::make_work_guard(context);  // waiting for reports is none
  while (context.poll() > 0) {
  }
  Report report{};
  report.kind = MessageKind::exited;
  ASSERT_GT(::send(warden_socket.get(), &report, report.frame_bytes(), 0), 0);
  EXPECT_EQ(context.poll(), 1u) << "handlers for one report";
  EXPECT_EQ(reports.size(), 1u);
}

TEST_F(Link, the_end_of_the_socket_is_the_end) {
  warden_socket.reset();
  EXPECT_TRUE(run_until([&] { return ends == 1; }));
  EXPECT_FALSE(link.is_open());
  send(command(MessageKind::kill, 1));  // nobody is there, and nothing happens
  EXPECT_EQ(ends, 1);
}

TEST_F(Link, the_death_of_the_process_is_the_end_though_another_holds_its_socket) {
  Report last{};
  last.kind = MessageKind::exited;
  ASSERT_GT(::send(warden_socket.get(), &last, last.frame_bytes(), 0), 0);
  kill(process, SIGKILL);
  EXPECT_TRUE(run_until([&] { return ends == 1; }));
  EXPECT_EQ(reports.size(), 1u) << "the last report was read first";
}

// The handler of its process finds the end of the socket, too, and another warden follows at once.
TEST_F(Link, an_end_that_is_seen_twice_does_not_end_the_link_to_the_next_warden) {
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
  following = os::UniqueFd(pair[0]);
  const os::UniqueFd next_warden(pair[1]);
  context.poll();  // both are listened to
  std::unique_lock lock(mutex);
  std::thread thread([this] { test::run_until(context, [this] { return is_open_again(); }); });
  kill(process, SIGKILL);
  siginfo_t info{};
  waitid(P_PID, static_cast<id_t>(process), &info, WEXITED | WNOWAIT);
  std::this_thread::sleep_for(std::chrono::milliseconds(100));  // its handler waits for the mutex
  warden_socket.reset();
  lock.unlock();
  thread.join();
  const std::lock_guard again(mutex);
  EXPECT_EQ(ends, 1);
  EXPECT_TRUE(link.is_open());
}

}  // namespace
}  // namespace reeve::detail
