// The same verbs give the same journal, byte for byte, on every compiler and level of optimisation.
#include "tests/alloc/replay.hpp"

#include "tests/support/pch.hpp"

namespace reeve::alloc {
namespace {

TEST(Replay, TheJournalHasTheSameBytesEverywhere) {
  const auto life = journal_of_a_life();
  EXPECT_TRUE(life.clean);
  EXPECT_GT(life.entries, 15'000u);
  EXPECT_EQ(life.hash, known_journal);
  EXPECT_EQ(journal_of_a_life().hash, life.hash);
  EXPECT_EQ(journal_of_a_life(4000, 0).hash, life.hash)
      << "the index places as a look at each does";
}

}  // namespace
}  // namespace reeve::alloc
