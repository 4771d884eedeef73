// /proc readers agree with the kernel on live, dead and reaped processes, and on fixture trees.
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <reeve/os/proc.hpp>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace reeve::os {
namespace {

class Tree {
 public:
  Tree() {
    std::string name = (std::filesystem::temp_directory_path() / "reeve-proc-XXXXXX").string();
    root = ::mkdtemp(name.data());
  }
  ~Tree() { std::filesystem::remove_all(root); }
  void file(const std::string& path, const std::string& text) {
    std::filesystem::create_directories((root / path).parent_path());
    std::ofstream(root / path) << text;
  }
  std::filesystem::path root;
};

std::span<const char> chars(std::string_view text) {
  return {text.data(), text.size()};
}

TEST(Statm, Parses) {
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  const Statm statm = parse_statm(chars("100 50 20 3 0 70 0\n"));
  EXPECT_EQ(statm.state, ProcState::alive);
  EXPECT_EQ(statm.size_bytes, 100 * page);
  EXPECT_EQ(statm.resident_bytes, 50 * page);
  EXPECT_EQ(statm.shared_bytes, 20 * page);
  EXPECT_EQ(statm.private_bytes(), 30 * page);
  EXPECT_EQ(statm.data_bytes, 70 * page);
  EXPECT_EQ(parse_statm(chars("0 0 0 0 0 0 0\n")).state, ProcState::zombie);
  EXPECT_EQ(parse_statm(chars("")).state, ProcState::error);
  EXPECT_EQ(parse_statm(chars("1 2 x")).error, EPROTO);
}

TEST(Statm, SeesTouchedMemory) {
  const StatmReader reader(::getpid());
  ASSERT_EQ(reader.error(), 0);
  const Statm before = reader.read();
  std::vector<char> memory(32 << 20, 1);
  const Statm after = reader.read();
  EXPECT_GT(memory[123], 0);
  EXPECT_EQ(after.state, ProcState::alive);
  EXPECT_GT(after.private_bytes() + (1 << 20), before.private_bytes() + (31 << 20));
}

TEST(Statm, TellsZombieFromGone) {
  int gate[2];
  ASSERT_EQ(::pipe(gate), 0);
  const pid_t pid = ::fork();
  if (pid == 0) {
    char byte = 0;
    ::close(gate[1]);
    [[maybe_unused]] const auto n = ::read(gate[0], &byte, 1);
    ::_exit(0);
  }
  ::close(gate[0]);
  const StatmReader reader(pid);
  const CpuClock clock(pid);
  EXPECT_EQ(reader.read().state, ProcState::alive);
  EXPECT_EQ(clock.read().error, 0);
  ::close(gate[1]);
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT), 0);
  EXPECT_EQ(reader.read().state, ProcState::zombie);
  EXPECT_EQ(clock.read().error, 0);
  ASSERT_EQ(::waitpid(pid, nullptr, 0), pid);
  EXPECT_EQ(reader.read().state, ProcState::gone);
  EXPECT_NE(clock.read().error, 0);
  const StatmReader late(pid);
  EXPECT_EQ(late.error(), ENOENT);
  EXPECT_EQ(late.read().state, ProcState::gone);
  EXPECT_EQ(StatmReader{}.read().error, EBADF);
}

TEST(Children, FindsChildrenAndGrandchildren) {
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const pid_t grandchild = ::fork();
    if (grandchild == 0) {
      for (;;) ::pause();
    }
    [[maybe_unused]] const auto n = ::write(ready[1], &grandchild, sizeof grandchild);
    for (;;) ::pause();
  }
  pid_t grandchild = 0;
  ASSERT_EQ(::read(ready[0], &grandchild, sizeof grandchild), ssize_t{sizeof grandchild});
  std::array<pid_t, 64> out{};
  const Children direct = read_children(::getpid(), out);
  const auto end = out.begin() + static_cast<std::ptrdiff_t>(direct.count);
  EXPECT_EQ(direct.error, 0);
  EXPECT_NE(std::find(out.begin(), end, child), end);
  const Children all = read_descendants(child, out);
  ASSERT_EQ(all.count, 1u);
  EXPECT_EQ(out[0], grandchild);
  ::kill(grandchild, SIGKILL);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_NE(read_children(child, out).error, 0);
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST(Children, ReadsFixtureTreesOfAnyLength) {
  Tree tree;
  std::string many;
  for (int i = 1000; i < 3000; ++i) many += std::to_string(i) + " ";
  tree.file("7/task/7/children", many);
  tree.file("7/task/8/children", "5000 ");
  tree.file("5000/task/5000/children", "6000 6001 ");
  const std::string root = tree.root.string();
  const Roots roots{.proc = root.c_str()};
  std::vector<pid_t> out(4000);
  const Children children = read_children(7, out, roots);
  EXPECT_EQ(children.error, 0);
  ASSERT_EQ(children.count, 2001u);
  std::sort(out.begin(), out.begin() + 2001);
  for (int i = 0; i < 2000; ++i) ASSERT_EQ(out[static_cast<std::size_t>(i)], 1000 + i);
  EXPECT_EQ(read_descendants(7, out, roots).count, 2003u);
  std::array<pid_t, 3> small{};
  const Children cut = read_children(7, small, roots);
  EXPECT_EQ(cut.count, 3u);
  EXPECT_FALSE(cut.complete);
  EXPECT_EQ(read_children(9, out, roots).error, ENOENT);
}

TEST(CpuClock, CountsWorkNotWaiting) {
  const CpuClock clock(::getpid());
  ASSERT_EQ(clock.error(), 0);
  const auto before = clock.read().used;
  volatile unsigned sum = 0;
  for (unsigned i = 0; i < 3'000'000; ++i) sum = sum + i;
  EXPECT_GT(clock.read().used, before);
  EXPECT_NE(CpuClock{}.read().error, 0);
  EXPECT_NE(CpuClock(0x7ffffff).error(), 0);
}

TEST(ProcSelf, ReadsDataAndThreads) {
  EXPECT_GT(vm_data_self(), 0u);
  EXPECT_GT(vm_data(::getppid()) + 1, 0u);
  const std::size_t threads = thread_count_self();
  std::atomic<bool> stop{false};
  std::thread other([&] { stop.wait(false); });
  EXPECT_EQ(thread_count_self(), threads + 1);
  stop = true;
  stop.notify_all();
  other.join();
}

TEST(ProcSelf, ReadsFixtureTrees) {
  Tree tree;
  tree.file("self/status", "Name:\tx\nVmDataX:\t9 kB\nVmData:\t  1234 kB\nThreads:\t7\n");
  const std::string root = tree.root.string();
  const Roots roots{.proc = root.c_str()};
  EXPECT_EQ(vm_data_self(roots), 1234u * 1024);
  EXPECT_EQ(thread_count_self(roots), 7u);
  EXPECT_EQ(vm_data_self({.proc = "/nonexistent"}), 0u);
  EXPECT_EQ(status_field(chars("A:\tx\n"), "A"), -1);
  EXPECT_EQ(status_field(chars("A:\t1\n"), "B"), -1);
}

}  // namespace
}  // namespace reeve::os
