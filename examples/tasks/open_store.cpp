// Two ways to make a store: in memory, and in one file that outlives the process.
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdio>
#include <filesystem>
#include <reeve/tasks.hpp>

namespace asio = boost::asio;
using namespace std::chrono_literals;
using namespace reeve::tasks;

void use(asio::io_context& context, TaskStore& store, const char* what) {
  std::printf("%s: %zu tasks found\n", what, store.counts().total());
  auto work = [&]() -> asio::awaitable<void> { co_await store.create_task("task-1"); };
  asio::co_spawn(context, work(), [](std::exception_ptr failure) {
    if (failure) std::rethrow_exception(failure);
  });
  context.restart();
  context.run();
}

// [open]
void in_memory(asio::io_context& context) {
  TaskStore store(context.get_executor());  // gone with the process
  use(context, store, "memory");
}

void on_disk(asio::io_context& context, const std::string& file) {
  StoreConfig config;                // or StoreConfig::from_environment(), see Configuration
  config.path = file;                // one SQLite file, in a folder that exists
  config.sync = DiskSync::full;      // the default: a power cut takes nothing acknowledged
  config.relaxed_delay = 500ms;      // of progress, it may take what is younger
  config.retention.completed = 72h;  // from the end of a task; until then it is kept
  TaskStore store(context.get_executor(), config);
  use(context, store, "disk");
}
// [/open]

int main() {
  const auto folder =
      std::filesystem::temp_directory_path() / ("reeve-open-store-" + std::to_string(::getpid()));
  std::filesystem::create_directory(folder);
  asio::io_context context;
  for (int start = 0; start < 2; ++start) {
    in_memory(context);
    on_disk(context, folder / "tasks.db");
  }
  std::filesystem::remove_all(folder);
}
// [output]
// memory: 0 tasks found
// disk: 0 tasks found
// memory: 0 tasks found
// disk: 1 tasks found
// [/output]
