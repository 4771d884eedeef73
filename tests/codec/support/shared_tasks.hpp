// Tasks that several translation units and a shared library name.
#pragma once

#include <reeve/codec/task.hpp>

#include <span>

namespace reeve::codec::test {

/// A lambda in a header: one type in every translation unit.
inline constexpr auto header_lambda = [](int x) { return x + 1; };

/// The descriptor of header_lambda, and of a lambda of its own, as second_unit.cpp sees them.
const TaskDescriptor& header_lambda_in_second_unit();
const TaskDescriptor& own_lambda_in_second_unit();

}  // namespace reeve::codec::test

/// What a plugin library offers.
struct PluginTasks {
  const reeve::codec::TaskDescriptor* lambda;
  const reeve::codec::TaskDescriptor* function;
  double (*plain)(double);
};
extern "C" PluginTasks plugin_linked();
