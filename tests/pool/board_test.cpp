// What workers can see of a pool they can neither cut nor write.
#include "pool/board.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/support/pch.hpp"

namespace reeve::detail {
namespace {

using process::HubPage;

TEST(Board, hub_page_is_sealed_for_everybody_but_the_program) {
  const Board board(process::WorkerSettings(), "text");
  const std::uint32_t zero = 0;
  EXPECT_EQ(ftruncate(board.hub_fd(), 0), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(ftruncate(board.hub_fd(), 1 << 20), -1);
  EXPECT_EQ(pwrite(board.hub_fd(), &zero, sizeof zero, 0), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(mmap(nullptr, sizeof(HubPage), PROT_READ | PROT_WRITE, MAP_SHARED, board.hub_fd(), 0),
            MAP_FAILED);
  EXPECT_EQ(fcntl(board.hub_fd(), F_ADD_SEALS, F_SEAL_WRITE), -1) << "no seal may follow";
}

TEST(Board, what_the_program_writes_is_seen_through_the_descriptor) {
  Board board(process::WorkerSettings(), "");
  void* const page = mmap(nullptr, sizeof(HubPage), PROT_READ, MAP_SHARED, board.hub_fd(), 0);
  ASSERT_NE(page, MAP_FAILED);
  const auto& hub = *static_cast<const HubPage*>(page);
  EXPECT_EQ(hub.program_sleeps.load(), 1u) << "until it says otherwise";
  board.set_sleeping(false);
  EXPECT_EQ(hub.program_sleeps.load(), 0u);
  munmap(page, sizeof(HubPage));
}

TEST(Board, rings_the_warden_only_for_what_is_due_before_it_looks) {
  Board board(process::WorkerSettings(), "");
  std::uint64_t rings = 0;
  const auto rung = [&] { return read(board.wake_fd(), &rings, sizeof rings) == sizeof rings; };
  EXPECT_FALSE(rung());
  board.arm(1000);
  EXPECT_TRUE(rung()) << "no warden was going to look";
  auto* const header = static_cast<process::BoardHeader*>(mmap(
      nullptr, sizeof(process::BoardHeader), PROT_READ | PROT_WRITE, MAP_SHARED, board.fd(), 0));
  ASSERT_NE(header, MAP_FAILED);
  header->armed_until = 500;
  board.arm(500);
  EXPECT_FALSE(rung());
  board.arm(499);
  EXPECT_TRUE(rung());
  board.disarm();
  EXPECT_EQ(header->armed_until.load(), process::never);
  munmap(header, sizeof(process::BoardHeader));
}

}  // namespace
}  // namespace reeve::detail
