// The lease word: one of many decides how a lease ends, and old deadlines decide nothing.
#include "process/layout.hpp"

#include <thread>

#include "tests/support/pch.hpp"

namespace reeve::process {
namespace {

constexpr Cause all_causes[] = {Cause::none,      Cause::active,  Cause::timeout, Cause::memory,
                                Cause::cancelled, Cause::crashed, Cause::lost,    Cause::shutdown};

RC_GTEST_PROP(LeaseWordProperty, parts_do_not_touch_each_other, ()) {
  const auto serial = *rc::gen::inRange<std::uint64_t>(0, std::uint64_t{1} << 40);
  const auto epochs = *rc::gen::inRange(0, 70'000);
  const Cause first = all_causes[*rc::gen::inRange<std::size_t>(0, std::size(all_causes))];
  const Cause second = all_causes[*rc::gen::inRange<std::size_t>(0, std::size(all_causes))];
  LeaseWord word(serial, first);
  for (int i = 0; i < epochs; ++i) word = word.next_epoch();
  RC_ASSERT(word.serial() == serial);
  RC_ASSERT(word.cause() == first);
  RC_ASSERT(word.with(second).serial() == serial);
  RC_ASSERT(word.with(second).cause() == second);
  RC_ASSERT(word.with(second).with(first).bits() == word.bits());
  RC_ASSERT(word.next_epoch().bits() != word.bits());
}

TEST(LeaseWord, zero_is_nobodys) {
  EXPECT_EQ(LeaseWord().cause(), Cause::none);
  EXPECT_EQ(LeaseWord().serial(), 0u);
}

TEST(LeaseWord, exactly_one_of_many_decides) {
  constexpr Cause rivals[] = {Cause::timeout, Cause::memory, Cause::cancelled, Cause::none};
  for (std::uint64_t serial = 1; serial <= 200; ++serial) {
    BoardSlot slot{};
    slot.word = LeaseWord(serial, Cause::active).bits();
    std::atomic<int> ready{0}, winners{0};
    std::atomic<Cause> decided{Cause::active};
    std::vector<std::thread> threads;
    for (const Cause cause : rivals) {
      threads.emplace_back([&, cause] {
        std::uint64_t word = slot.word.load();
        ++ready;
        while (ready < static_cast<int>(std::size(rivals))) std::this_thread::yield();
        if (LeaseWord(word).cause() == Cause::active &&
            slot.word.compare_exchange_strong(word, LeaseWord(word).with(cause).bits())) {
          ++winners;
          decided = cause;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    ASSERT_EQ(winners, 1);
    ASSERT_EQ(LeaseWord(slot.word).cause(), decided.load());
    ASSERT_EQ(LeaseWord(slot.word).serial(), serial);
  }
}

// What the warden does when a deadline passes, while the program ends the call at that instant.
TEST(LeaseWord, a_deadline_of_an_ended_call_never_counts) {
  std::atomic<std::uint64_t> word{LeaseWord(9, Cause::active).bits()};
  std::uint64_t seen_by_warden = word;
  word = LeaseWord(word).next_epoch().bits();  // the reply was in time
  EXPECT_FALSE(word.compare_exchange_strong(seen_by_warden,
                                            LeaseWord(seen_by_warden).with(Cause::timeout).bits()));
  EXPECT_EQ(LeaseWord(word).cause(), Cause::active);
}

TEST(Board, has_room_for_its_slots_and_its_text) {
  EXPECT_EQ(board_bytes(0, 0), sizeof(BoardHeader));
  EXPECT_EQ(board_bytes(3, 100), sizeof(BoardHeader) + 3 * sizeof(BoardSlot) + 100);
  EXPECT_EQ(alignof(BoardSlot), 128u) << "two slots never share a cache line pair";
  EXPECT_EQ(sizeof(BoardHeader) % alignof(BoardSlot), 0u);
}

}  // namespace
}  // namespace reeve::process
