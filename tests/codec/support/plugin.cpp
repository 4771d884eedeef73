// A shared library with exactly two task descriptors and one plain function.
#include "tests/codec/support/shared_tasks.hpp"

#define REEVE_TEST_JOIN(a, b) a##b
#define REEVE_TEST_NAME(a, b) REEVE_TEST_JOIN(a, b)

namespace {
double half(double x) {
  return x / 2;
}
double third(double x) {
  return x / 3;
}
}  // namespace

extern "C" PluginTasks REEVE_TEST_NAME(plugin_, PLUGIN_NAME)() {
  constexpr auto twice = [](double x) { return 2 * x; };
  return {&reeve::codec::CallTraits<decltype(twice), double>::descriptor(),
          &reeve::codec::CallTraits<reeve::codec::FunctionConstant<&half>, double>::descriptor(),
          &third};
}
