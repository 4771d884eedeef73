// Blocks that a thread keeps: the last one first, few, and each thread its own.
#include "tasks/recycled.hpp"

#include <thread>
#include <vector>

#include "tests/support/pch.hpp"

namespace reeve::tasks::detail {
namespace {

// A size that nothing else in this program has; kept under the sanitizers, too.
constexpr std::size_t most = 16;
using Blocks = KeptBlocks<1237, 8, most>;

TEST(RecycledTest, TheLastBlockGivenBackIsTheFirstToBeTaken) {
  void* a = Blocks::take();
  void* b = Blocks::take();
  Blocks::give(a);
  Blocks::give(b);
  EXPECT_EQ(Blocks::count(), 2u);
  EXPECT_EQ(Blocks::take(), b);
  EXPECT_EQ(Blocks::take(), a);
  EXPECT_EQ(Blocks::count(), 0u);
  Blocks::give(a);
  Blocks::give(b);
}

TEST(RecycledTest, FewAreKept) {
  std::vector<void*> blocks;
  for (std::size_t i = 0; i < most + 10; ++i) blocks.push_back(Blocks::take());
  for (void* block : blocks) Blocks::give(block);
  EXPECT_EQ(Blocks::count(), most);
}

TEST(RecycledTest, AThreadKeepsWhatItGivesBackAndNothingBeyondItsEnd) {
  struct Late {  // ends after what the thread keeps, as an object of a user's might
    std::vector<void*> blocks;
    ~Late() {
      for (void* block : blocks) Blocks::give(block);
    }
  };
  const std::size_t before = Blocks::count();
  std::thread([] {
    static thread_local Late late;
    EXPECT_EQ(Blocks::count(), 0u);
    for (int i = 0; i < 4; ++i) late.blocks.push_back(Blocks::take());
    Blocks::give(late.blocks.back());
    late.blocks.pop_back();
    EXPECT_EQ(Blocks::count(), 1u);
  }).join();  // a leak or a second free is the sanitizers' to see
  EXPECT_EQ(Blocks::count(), before);
}

struct Counted {
  explicit Counted(int* n) : ended(n) {}
  ~Counted() { ++*ended; }
  int* ended;
};

TEST(RecycledTest, ObjectsAreMadeAndDestroyedAsEver) {
  int ended = 0;
  for (int i = 0; i < 3; ++i) {
    const auto shared = make_recycled<Counted>(&ended);
    const std::weak_ptr<Counted> weak = shared;
    EXPECT_EQ(shared.use_count(), 1);
    EXPECT_EQ(weak.lock(), shared);
  }
  EXPECT_EQ(ended, 3);
}

}  // namespace
}  // namespace reeve::tasks::detail
