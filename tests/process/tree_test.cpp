// Finding, measuring and killing what lies below a process: real processes, few of them.
#include "process/tree.hpp"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>
#include <functional>
#include <thread>

#include "tests/support/pch.hpp"

namespace reeve::process {
namespace {

using namespace std::chrono_literals;

[[noreturn]] void live() {
  for (;;) pause();
}

/// Descendants tell that they live by writing a byte; `count` of them are waited for.
class Nursery {
 public:
  Nursery() {
    prctl(PR_SET_CHILD_SUBREAPER, 1);  // as a worker is: double-forked ones stay below us
    EXPECT_EQ(pipe(ready_), 0);
  }
  ~Nursery() {
    kill_orphans({});
    while (waitpid(-1, nullptr, __WALL) > 0) {
    }
    close(ready_[0]), close(ready_[1]);
    prctl(PR_SET_CHILD_SUBREAPER, 0);
  }
  pid_t child(const std::function<void()>& body) {
    const pid_t pid = fork();
    if (pid != 0) return pid;
    body();
    report_and_live();
  }
  [[noreturn]] void report_and_live() const {
    [[maybe_unused]] const auto n = write(ready_[1], "x", 1);
    live();
  }
  void wait_for(int count) const {
    char byte;
    for (int i = 0; i < count; ++i) ASSERT_EQ(read(ready_[0], &byte, 1), 1);
  }

 private:
  int ready_[2];
};

bool gone(pid_t pid) {
  for (int i = 0; i < 2000; ++i) {
    waitpid(pid, nullptr, WNOHANG | __WALL);
    if (kill(pid, 0) != 0) return true;
    std::this_thread::sleep_for(1ms);
  }
  return false;
}

/// A root with a child, a grandchild in a session of its own, and one that ignores every signal.
pid_t plant(Nursery& nursery) {
  const pid_t root = nursery.child([&] {
    if (fork() == 0) {
      if (fork() == 0) {
        setsid();
        for (int number = 1; number < NSIG; ++number) signal(number, SIG_IGN);
      }
      nursery.report_and_live();
    }
  });
  nursery.wait_for(3);
  return root;
}

TEST(Tree, lists_all_below_breadth_first_and_not_the_root) {
  Nursery nursery;
  const pid_t root = plant(nursery);
  std::vector<pid_t> all, children;
  list_descendants(root, all);
  list_children(root, children);
  ASSERT_EQ(all.size(), 2u);
  ASSERT_EQ(children.size(), 1u);
  EXPECT_EQ(all[0], children[0]);
  EXPECT_EQ(parent_of(all[0]), root);
  EXPECT_EQ(parent_of(all[1]), all[0]);
}

TEST(Tree, lists_children_of_one_thread_and_of_all) {
  Nursery nursery;
  pid_t by_other = 0;
  std::thread([&] { by_other = nursery.child([] {}); }).join();
  const pid_t own = nursery.child([] {});
  nursery.wait_for(2);
  std::vector<pid_t> all;
  list_children(getpid(), all);
  EXPECT_THAT(all, ::testing::UnorderedElementsAre(own, by_other));
}

TEST(Tree, kills_the_root_and_everything_below) {
  Nursery nursery;
  const pid_t root = plant(nursery);
  std::vector<pid_t> all;
  list_descendants(root, all);
  EXPECT_EQ(kill_tree(root), 2u);
  EXPECT_TRUE(gone(root));
  for (const pid_t pid : all) EXPECT_TRUE(gone(pid)) << pid;
}

TEST(Tree, kills_what_keeps_forking) {
  Nursery nursery;
  const pid_t root = nursery.child([&] {
    for (int branch = 0; branch < 3; ++branch) {
      if (fork() != 0) continue;
      nursery.report_and_live();
    }
    if (fork() == 0) {  // forks, slowly, until it is stopped
      for (int i = 0; i < 200; ++i) {
        if (fork() == 0) live();
        usleep(200);
      }
      live();
    }
  });
  nursery.wait_for(4);
  EXPECT_GE(kill_tree(root), 4u);
  EXPECT_TRUE(gone(root));
  for (int i = 0; i < 500; ++i) {
    kill_orphans({});
    while (waitpid(-1, nullptr, WNOHANG | __WALL) > 0) {
    }
    std::vector<pid_t> left;
    list_children(getpid(), left);
    if (left.empty()) return;
    std::this_thread::sleep_for(1ms);
  }
  FAIL() << "somebody is left";
}

TEST(Tree, orphans_are_those_that_nobody_knows) {
  Nursery nursery;
  const pid_t known = nursery.child([] {});
  const pid_t unknown = nursery.child([] {});
  nursery.wait_for(2);
  std::vector<pid_t> signalled;
  EXPECT_EQ(kill_orphans({known}, &signalled), 1u);
  EXPECT_THAT(signalled, ::testing::ElementsAre(unknown));
  EXPECT_TRUE(gone(unknown));
  EXPECT_EQ(waitpid(known, nullptr, WNOHANG), 0) << "the known one lives";
}

TEST(Tree, of_a_process_that_is_gone_is_empty) {
  const pid_t pid = fork();
  if (pid == 0) _exit(0);
  waitpid(pid, nullptr, 0);
  std::vector<pid_t> all;
  list_descendants(pid, all);
  EXPECT_TRUE(all.empty());
  std::uint64_t own = 0, shared = 0;
  EXPECT_FALSE(memory_of(pid, own, shared));
  EXPECT_EQ(parent_of(pid), -1);
  EXPECT_EQ(cpu_time_of(pid), 0);
  EXPECT_EQ(proportional_set(pid), std::nullopt);
}

TEST(Tree, finds_the_parent_behind_a_strange_name) {
  Nursery nursery;
  const pid_t child = nursery.child([] { prctl(PR_SET_NAME, ") R 1 2 (x"); });
  nursery.wait_for(1);
  EXPECT_EQ(parent_of(child), getpid());
}

TEST(Tree, measures_private_and_shared_memory_and_processor_time) {
  std::uint64_t own = 0, shared = 0;
  ASSERT_TRUE(memory_of(getpid(), own, shared));
  constexpr std::size_t size = 32u << 20;
  void* block = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(block, MAP_FAILED);
  const std::uint64_t before = proportional_set(getpid()).value();
  const std::int64_t time_before = cpu_time_of(getpid());
  std::memset(block, 1, size);
  std::uint64_t own_after = 0, shared_after = 0;
  ASSERT_TRUE(memory_of(getpid(), own_after, shared_after));
  EXPECT_GE(own_after + (1u << 20), own + size);
  EXPECT_LT(shared_after, shared + size / 2);
  // The system may take back pages of files meanwhile.
  EXPECT_GE(proportional_set(getpid()).value() + size / 4, before + size);
  EXPECT_GT(cpu_time_of(getpid()), time_before);
  munmap(block, size);
}

TEST(Tree, writes_existing_files_only) {
  const std::string path = ::testing::TempDir() + "reeve-write-text-" + std::to_string(getpid());
  EXPECT_FALSE(write_text(path, "x")) << "cgroup files are never made";
  std::ofstream(path) << "before";
  EXPECT_TRUE(write_text(path, "1"));
  unlink(path.c_str());
}

}  // namespace
}  // namespace reeve::process
