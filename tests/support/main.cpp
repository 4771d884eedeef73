// main of every test program.
#include <gtest/gtest.h>

#ifdef REEVE_TEST_WORKERS
#include <reeve/process/init.hpp>
#endif

int main(int argc, char** argv) {
#ifdef REEVE_TEST_WORKERS
  reeve::init(argc, argv);
#endif
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
