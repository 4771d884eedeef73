// Two clients follow one task: one stays, one loses its connection and resumes where it was.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstdio>
#include <reeve/tasks.hpp>

namespace asio = boost::asio;
using namespace reeve::tasks;

void say(const char* who, const TaskRecord& record) {
  std::printf("%s: %s, %.0f %%\n", who, to_string(record.state()).data(), record.progress());
}

// [client]
asio::awaitable<std::uint64_t> follow(TaskStore& store, const char* who, std::uint64_t since,
                                      int events_max) {
  WatchFilter only;
  only.id = "report-7";
  Watcher watcher = store.watch(only, since);
  for (int i = 0; i < events_max; ++i) {
    const WatchEvent event = co_await watcher.next();
    if (!event.record) continue;
    say(who, *event.record);
    since = event.token;  // what an SSE client sends back as Last-Event-ID
    if (is_settled(event.record->state())) break;
  }
  co_return since;
}
// [/client]

asio::awaitable<void> stay(TaskStore& store) {
  co_await follow(store, "steady client", 0, 100);
}

asio::awaitable<void> come_and_go(TaskStore& store) {
  const std::uint64_t token = co_await follow(store, "other client", 0, 2);
  std::printf("other client: the connection is lost\n");
  co_await store.wait("report-7");
  co_await follow(store, "other client, back again", token, 100);
}

asio::awaitable<void> work(TaskStore& store) {
  co_await store.create_task("report-7");
  co_await asio::post(asio::use_awaitable);
  co_await store.start_task("report-7");
  for (const int percent : {25, 50, 75}) {
    co_await asio::post(asio::use_awaitable);
    co_await store.update_task_progress("report-7", percent);
  }
  co_await asio::post(asio::use_awaitable);
  Fields result;
  result.set("pages", 12);
  co_await store.complete_task("report-7", result);
}

int main() {
  asio::io_context context;
  TaskStore store(context.get_executor());
  const auto end = [](std::exception_ptr failure) {
    if (failure) std::rethrow_exception(failure);
  };
  asio::co_spawn(context, stay(store), end);
  asio::co_spawn(context, come_and_go(store), end);
  asio::co_spawn(context, work(store), end);
  context.run();
}
// [output]
// steady client: pending, 0 %
// other client: pending, 0 %
// steady client: running, 0 %
// other client: running, 0 %
// other client: the connection is lost
// steady client: running, 25 %
// steady client: running, 50 %
// steady client: running, 75 %
// other client, back again: completed, 100 %
// steady client: completed, 100 %
// [/output]
