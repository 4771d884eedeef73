// A job runner that is killed in the middle of a job, starts again, and finishes what it had begun.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
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

//! [runner]
asio::awaitable<void> run_jobs(TaskStore& store, TrackedWork last_job) {
  TrackOptions options;
  options.retry_after_crash = true;  // the jobs are idempotent: after a crash they wait for a retry
  for (const std::string id : {"job-1", "job-2", "job-3"}) {
    const auto known = store.get_task_status(id);
    if (known && is_settled(known->state())) continue;
    const TrackedWork work = id == "job-3" ? last_job : TrackedWork(job);
    co_await tracked(store, id, work, options);
  }
}
//! [runner]

void runner(const std::string& path, const TrackedWork& last_job) {
  asio::io_context context;
  StoreConfig config;
  config.path = path;
  TaskStore store(context.get_executor(), config);
  asio::co_spawn(context, run_jobs(store, last_job), asio::detached);
  context.run();
  int second = 0;
  for (const auto& record : store.list_tasks().items) second += record.attempt() == 2;
  std::printf("%zu of 3 jobs completed, %d of them in its second attempt\n",
              store.counts()[TaskState::completed], second);
}

int main() {
  const auto path = (std::filesystem::temp_directory_path() /
                     ("reeve-jobs-" + std::to_string(::getpid()) + ".db"))
                        .string();
  const pid_t child = ::fork();
  if (child == 0) {
    runner(path, job_that_dies);
    ::_exit(0);
  }
  ::waitpid(child, nullptr, 0);
  runner(path, job);
  for (const char* suffix : {"", "-wal", "-reserve"}) std::filesystem::remove(path + suffix);
}
