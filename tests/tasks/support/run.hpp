// Runs a coroutine to its end on a fresh io_context, and helpers to look at what it threw.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <optional>
#include <reeve/tasks/task_store.hpp>
#include <string>

namespace reeve::tasks::testing {

/// Runs `work` and returns its result, or throws its exception.
template <class T>
T run(boost::asio::io_context& context, boost::asio::awaitable<T> work) {
  std::exception_ptr failure;
  bool done = false;
  std::optional<std::conditional_t<std::is_void_v<T>, char, T>> result;
  if constexpr (std::is_void_v<T>)
    boost::asio::co_spawn(context, std::move(work), [&](std::exception_ptr e) {
      failure = e;
      done = true;
    });
  else
    boost::asio::co_spawn(context, std::move(work), [&](std::exception_ptr e, T value) {
      failure = e;
      if (!e) result.emplace(std::move(value));
      done = true;
    });
  context.restart();
  while (!done && context.run_one() != 0) {
  }
  if (!done) throw std::logic_error("the coroutine never ended");
  if (failure) std::rethrow_exception(failure);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

/// The code of the TaskError that `work` throws, or nothing.
template <class Work>
std::optional<TaskErrc> code_of(Work&& work) {
  try {
    work();
  } catch (const TaskError& e) {
    return e.code();
  }
  return std::nullopt;
}

/// A directory of its own, removed at the end.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  std::string file(const std::string& name) const { return (path_ / name).string(); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace reeve::tasks::testing
