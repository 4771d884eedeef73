// The journal of replay.hpp where nothing is optimised; the test program compares it with
// optimisation.
#include "tests/alloc/replay.hpp"

#include <cstdio>

int main() {
  const auto life = reeve::alloc::journal_of_a_life();
  std::printf("%zu entries, hash %llu, known %llu, audit %s\n", life.entries,
              static_cast<unsigned long long>(life.hash),
              static_cast<unsigned long long>(reeve::alloc::known_journal),
              life.clean ? "clean" : "with differences");
  return life.clean && life.entries > 15'000 && life.hash == reeve::alloc::known_journal ? 0 : 1;
}
