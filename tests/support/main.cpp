// main of every test program.
#include <gtest/gtest.h>

#ifdef REEVE_TEST_WORKERS
#include <reeve/process/init.hpp>
#endif

// libstdc++ counts the owners of an exception in code that is not instrumented: ThreadSanitizer
// sees one thread read it and another free it, and not the count that puts them in order; where a
// promise is the last owner, that count is not even in the stack. Asio
// orders the end of a shared executor by a fence, which ThreadSanitizer does not understand.
extern "C" const char* __tsan_default_suppressions() {
  return "race:std::__exception_ptr::exception_ptr::_M_release\n"
         "race:std::__future_base::_Result\n"
         "race:boost::asio::execution::detail::shared_target_executor\n";
}

// ThreadSanitizer waits a second in every exit() of a program with threads, so that those show
// races with static destructors; programs that tests start by the dozen get a twentieth of it.
extern "C" const char* __tsan_default_options() {
  return "atexit_sleep_ms=50";
}

int main(int argc, char** argv) {
#ifdef REEVE_TEST_WORKERS
  reeve::init(argc, argv);
#endif
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
