// A task's record from its first word to its result, and who waits for it.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdio>
#include <reeve/tasks.hpp>

namespace asio = boost::asio;
using namespace std::chrono_literals;
using namespace reeve::tasks;

// [verbs]
asio::awaitable<void> work(TaskStore& store) {
  Fields begin;
  begin.set("status", "processing").set("progress", 0);
  co_await store.set_task_status("task-123", begin);  // on disk when this returns
  Fields details;
  details.set("processed_items", 10);
  co_await store.update_task_progress("task-123", 50, details);  // seen at once, on disk in 1 s
  Fields result;
  result.set("result", "success");
  co_await store.complete_task("task-123", result);
}
// [/verbs]

// [wait]
asio::awaitable<void> wait_for_it(TaskStore& store) {
  const TaskRecord end = co_await store.wait("task-123", 30s);
  std::printf("%s\n", end.to_json().c_str());
}
// [/wait]

asio::awaitable<void> run(TaskStore& store) {
  co_await work(store);
  co_await wait_for_it(store);
  const auto unknown = store.get_task_status("task-124");
  std::printf("task-124 is %s\n", unknown ? "known" : "unknown, which is not the same as pending");
}

int main() {
  asio::io_context context;
  TaskStore store(context.get_executor());  // StoreConfig::path names a file; without it: memory
  asio::co_spawn(context, run(store), [](std::exception_ptr failure) {
    if (failure) std::rethrow_exception(failure);
  });
  context.run();
}
// [output]
// {"id":"task-123","status":"completed",...,"processed_items":10}
// task-124 is unknown, which is not the same as pending
// [/output]
