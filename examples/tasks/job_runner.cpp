// A job runner that is killed in the middle of a job, starts again, and finishes what it had begun.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdio>
#include <filesystem>
#include <reeve/tasks.hpp>
#include <string>

namespace asio = boost::asio;
using namespace reeve::tasks;

asio::awaitable<Json> job(ProgressSink progress) {
  progress(50);
  co_return Json::string("done");
}

asio::awaitable<Json> job_that_dies(ProgressSink progress) {
  progress(50);
  ::kill(::getpid(), SIGKILL);  // the machine's owner pulls the plug
  co_return Json();
}

// [runner]
asio::awaitable<void> run_jobs(TaskStore& store, TrackedWork second_job) {
  TrackOptions options;
  options.retry_after_crash = true;  // the jobs are idempotent: after a crash they wait for a retry
  for (const std::string id : {"job-1", "job-2", "job-3"}) {
    const auto known = store.get_task_status(id);
    if (known && is_settled(known->state())) continue;
    const TrackedWork work = id == "job-2" ? second_job : TrackedWork(job);
    co_await tracked(store, id, work, options);
  }
}
// [/runner]

void print(const TaskStore& store, const char* when) {
  std::printf("%s\n", when);
  for (const auto& record : store.list_tasks().items)
    std::printf("  %s: %s, attempt %u, %.0f %%\n", record.id().c_str(),
                to_string(record.state()).data(), record.attempt(), record.progress());
}

void run_to_the_end(const std::string& path, const TrackedWork& second_job) {
  asio::io_context context;
  StoreConfig config;
  config.path = path;
  TaskStore store(context.get_executor(), config);
  print(store, "found at the start");
  std::fflush(stdout);
  asio::co_spawn(context, run_jobs(store, second_job), [](std::exception_ptr failure) {
    if (failure) std::rethrow_exception(failure);
  });
  context.run();
  print(store, "at the end");
}

int main() {
  std::string directory = (std::filesystem::temp_directory_path() / "reeve-jobs-XXXXXX").string();
  if (::mkdtemp(directory.data()) == nullptr) return 1;
  const std::string path = directory + "/tasks.db";
  const pid_t first_life = ::fork();
  if (first_life == 0) {
    run_to_the_end(path, job_that_dies);
    ::_exit(0);
  }
  ::waitpid(first_life, nullptr, 0);
  run_to_the_end(path, job);
  std::filesystem::remove_all(directory);
}
// [output]
// found at the start
// found at the start
//   job-1: completed, attempt 1, 100 %
//   job-2: retry_wait, attempt 1, 0 %
// at the end
//   job-1: completed, attempt 1, 100 %
//   job-2: completed, attempt 2, 100 %
//   job-3: completed, attempt 1, 100 %
// [/output]
