// Finds our group in every layout, never leaves it, and kills a real group where one may be made.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include <reeve/base/error.hpp>
#include <reeve/os/cgroup.hpp>

#include <filesystem>
#include <fstream>

namespace reeve::os {
namespace {

using namespace std::chrono_literals;

class Tree {
 public:
  Tree() {
    std::string name = (std::filesystem::temp_directory_path() / "reeve-cgroup-XXXXXX").string();
    root = ::mkdtemp(name.data());
  }
  ~Tree() { std::filesystem::remove_all(root); }
  void file(const std::string& path, const std::string& text) {
    std::filesystem::create_directories((root / path).parent_path());
    std::ofstream(root / path) << text;
  }
  std::string read(const std::string& path) {
    std::ifstream in(root / path);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  CgroupSelf self() const { return find_own_cgroup(root.string() + "/proc", root.string()); }
  std::filesystem::path root;
};

TEST(CgroupParse, FindsTheV2Line) {
  EXPECT_EQ(parse_own_cgroup("4:memory:/x\n0::/a/b\n"), "/a/b");
  EXPECT_EQ(parse_own_cgroup("4:memory:/x\n"), std::nullopt);
}

TEST(CgroupParse, FindsTheDirectoryInEveryLayout) {
  const char* hybrid =
      "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
      "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:4 - cgroup2 cgroup2 rw\n";
  EXPECT_EQ(parse_cgroup2_directory(hybrid, "/"), "/sys/fs/cgroup/unified");
  EXPECT_EQ(parse_cgroup2_directory(hybrid, "/a/b"), "/sys/fs/cgroup/unified/a/b");
  const char* partial = "41 31 0:38 /docker/x /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
  EXPECT_EQ(parse_cgroup2_directory(partial, "/docker/x/y"), "/sys/fs/cgroup/y");
  EXPECT_EQ(parse_cgroup2_directory(partial, "/docker/xy"), std::nullopt);
  EXPECT_EQ(parse_cgroup2_directory(partial, "/other"), std::nullopt);
  const char* spaced = "41 31 0:38 / /sys/my\\040group rw - cgroup2 cgroup2 rw\n";
  EXPECT_EQ(parse_cgroup2_directory(spaced, "/a"), "/sys/my group/a");
  EXPECT_EQ(parse_cgroup2_directory(spaced, "/../a"), std::nullopt);
  EXPECT_EQ(parse_cgroup2_directory("", "/"), std::nullopt);
}

TEST(CgroupFake, ReportsWhatIsDelegated) {
  Tree tree;
  EXPECT_FALSE(tree.self().found);
  tree.file("proc/self/cgroup", "0::/app\n");
  EXPECT_THAT(tree.self().reason, ::testing::HasSubstr("/app"));
  tree.file("proc/self/mountinfo", "41 31 0:38 / /cg rw - cgroup2 cgroup2 rw\n");
  EXPECT_FALSE(tree.self().writable);
  tree.file("cg/app/cgroup.procs", "");
  tree.file("cg/app/cgroup.controllers", "cpu memory pids\n");
  CgroupSelf self = tree.self();
  EXPECT_TRUE(self.found && self.writable && self.memory && self.pids);
  EXPECT_FALSE(self.kill);
  tree.file("cg/app/cgroup.kill", "");
  EXPECT_TRUE(tree.self().kill);
  EXPECT_EQ(tree.self().reason, "");
}

TEST(CgroupFake, NeverLeavesItsSubtree) {
  Tree tree;
  CgroupSelf self;
  self.path = tree.root.string();
  EXPECT_THROW(Cgroup::create(self, "x"), ConfigError);
  self.writable = true;
  for (const char* bad : {"", ".", "..", "a/b", "../x", "/x"}) {
    EXPECT_THROW(Cgroup::create(self, bad), ConfigError) << bad;
  }
  // A directory that is no cgroup has no memory.max: the failure takes the new directory away
  // again.
  EXPECT_THROW(Cgroup::create(self, "w1", {.memory_max = 1 << 20}), SystemError);
  EXPECT_FALSE(std::filesystem::exists(tree.root / "w1"));
  {
    Cgroup group = Cgroup::create(self, "w2");
    EXPECT_THROW(Cgroup::create(self, "w2"), SystemError);
    EXPECT_TRUE(group.open());
    EXPECT_EQ(group.memory_peak(), std::nullopt);
    EXPECT_EQ(group.oom_kills(), std::nullopt);
    EXPECT_TRUE(group.populated()) << "what cannot be read must not pass as empty";
    EXPECT_FALSE(group.wait_empty(0ms));
    tree.file("w2/cgroup.events", "populated 0\nfrozen 0\n");
    tree.file("w2/memory.peak", "12345\n");
    tree.file("w2/memory.events", "low 0\noom 2\noom_kill 3\n");
    EXPECT_FALSE(group.populated());
    EXPECT_TRUE(group.wait_empty(0ms));
    EXPECT_EQ(group.memory_peak(), 12345u);
    EXPECT_EQ(group.oom_kills(), 3u);
    std::filesystem::remove(tree.root / "w2/cgroup.events");
    std::filesystem::remove(tree.root / "w2/memory.peak");
    std::filesystem::remove(tree.root / "w2/memory.events");
  }
  EXPECT_FALSE(std::filesystem::exists(tree.root / "w2"));
}

TEST(CgroupReal, KillsAWholeGroup) {
  const CgroupSelf self = find_own_cgroup();
  if (!self.writable || !self.kill) GTEST_SKIP() << "no group can be made here: " << self.reason;
  Cgroup group;
  try {
    group = Cgroup::create(self, "reeve-test-" + std::to_string(::getpid()));
  } catch (const SystemError& error) {
    GTEST_SKIP() << "no group can be made here: " << error.what();
  }
  int gate[2];
  ASSERT_EQ(::pipe(gate), 0);
  const pid_t pid = ::fork();
  if (pid == 0) {
    char byte = 0;
    [[maybe_unused]] const auto n = ::read(gate[0], &byte, 1);
    for (int i = 0; i < 8; ++i) {
      if (::fork() == 0) break;
    }
    ::setsid();
    for (;;) ::pause();
  }
  const int added = group.add(pid);
  EXPECT_EQ(added, 0);
  EXPECT_TRUE(group.populated());
  EXPECT_EQ(group.remove(), EBUSY);
  ASSERT_EQ(::write(gate[1], "x", 1), 1);
  EXPECT_EQ(group.kill(), 0);
  ::waitpid(pid, nullptr, 0);
  EXPECT_TRUE(group.wait_empty(5s));
  EXPECT_EQ(group.remove(), 0);
  EXPECT_FALSE(group);
  ::close(gate[0]);
  ::close(gate[1]);
}

}  // namespace
}  // namespace reeve::os
