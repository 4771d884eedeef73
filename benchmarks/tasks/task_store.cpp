// The task store against redis-server, SQLite one row per transaction and raw fdatasync,
// interleaved. The store is called in process, Redis through a loopback socket: that is how each is
// used.
#include <reeve/tasks.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "benchmarks/tasks/measure.hpp"
#include "benchmarks/tasks/peers.hpp"

namespace {

namespace asio = boost::asio;
using namespace reeve::tasks;
using bench::key_of;
using bench::Meter;
using bench::Rate;
using bench::report;

asio::awaitable<void> write_updates(TaskStore* store, int seed, int ids, Meter* meter) {
  std::mt19937 random(seed);
  Fields value;
  value.set("v", std::string(248, 'x'));
  UpdateOptions options;
  options.durability = Durability::sync;
  options.allow_regress = true;
  while (!meter->over()) {
    const auto begin = Meter::now();
    const std::string id = key_of(static_cast<int>(random() % ids));
    auto write = store->update_task_progress(id, random() % 100, value, options);
    co_await std::move(write);
    meter->done(begin);
  }
}

/// A writer that is refused would otherwise be a figure that is too good, or 0.
void ended(std::exception_ptr failure) {
  if (failure) std::rethrow_exception(failure);
}

Rate durable(TaskStore& store, asio::io_context& context, int writers, int ids, double seconds) {
  Meter meter(seconds);
  for (int i = 0; i < writers; ++i)
    asio::co_spawn(context, write_updates(&store, i, ids, &meter), &ended);
  context.restart();
  context.run();
  return meter.rate();
}

asio::awaitable<void> begin_tasks(TaskStore* store, int first, int last) {
  CreateOptions create;
  create.durability = Durability::relaxed;
  UpdateOptions start;
  start.durability = Durability::relaxed;
  Fields body;
  body.set("v", std::string(220, 'x'));
  for (int i = first; i < last; ++i) {
    const std::string id = key_of(i);
    auto creating = store->create_task(id, body, create);
    co_await std::move(creating);
    auto starting = store->start_task(id, start);
    co_await std::move(starting);
  }
  co_await store->flush();
}

void fill(TaskStore& store, asio::io_context& context, int first, int last) {
  asio::co_spawn(context, begin_tasks(&store, first, last), &ended);
  context.restart();
  context.run();
}

long kib_of(const char* file, std::string_view name) {
  std::ifstream text(file);
  std::string word;
  long value = 0;
  while (text >> word)
    if (word == name) {
      text >> value;
      break;
    }
  return value;
}

long resident_kib() {
  return kib_of("/proc/self/status", "VmRSS:");
}

/// `huge`: in a program that was started with huge pages for its heap; a million tasks only.
void memory_figures(bool huge) {
  asio::io_context context(1);
  double rates[2][2] = {};
  for (const int size : {10'000, 1'000'000}) {
    if (huge && size == 10'000) continue;
    TaskStore store(context.get_executor());
    fill(store, context, 0, size);
    std::vector<std::string> ids;
    std::mt19937 random(1);
    for (int i = 0; i < 1'000'000; ++i) ids.push_back(key_of(static_cast<int>(random() % size)));
    auto gets = [&](std::size_t from, std::size_t step) {
      double sum = 0;
      for (std::size_t i = from; i < ids.size(); i += step)
        sum += store.get_task_status(ids[i])->progress();
      return sum;
    };
    for (int threads : {1, 2}) {
      std::vector<double> tries;
      for (int round = 0; round < 5; ++round) {
        const auto begin = Meter::now();
        std::thread other;
        if (threads == 2) other = std::thread([&] { gets(1, 2); });
        gets(0, threads);
        if (other.joinable()) other.join();
        tries.push_back(1.0 / std::chrono::duration<double>(Meter::now() - begin).count());
      }
      rates[size > 10'000][threads - 1] = bench::median(tries);
    }
    std::vector<double> puts;
    UpdateOptions options;
    options.allow_regress = true;
    for (int round = 0; round < 5; ++round) {
      const auto begin = Meter::now();
      for (std::size_t i = 0; i < ids.size(); ++i) store.post_progress(ids[i], i % 100, options);
      puts.push_back(1.0 / std::chrono::duration<double>(Meter::now() - begin).count());
    }
    if (huge) {
      // Not every system gives what was asked for.
      if (2 * kib_of("/proc/self/smaps_rollup", "AnonHugePages:") < resident_kib()) return;
      const char* figures[] = {"1 M tasks on huge pages: get", "1 M tasks on huge pages: put"};
      reeve::bench::Figure("tasks", figures[0], rates[1][0], "M/s").print();
      reeve::bench::Figure("tasks", figures[1], bench::median(puts), "M/s").print();
    } else if (size == 10'000) {
      report("G1 get, 10 k tasks", rates[0][0], "M/s", 10, true);
      report("G1 put, 10 k tasks", bench::median(puts), "M/s", 8, true);
    } else {
      report("G1 get, 1 M tasks", rates[1][0], "M/s", 2, true);
      report("G1 get, 1 M tasks, 2 threads", rates[1][1], "M/s", 1.6, true, "1 thread",
             rates[1][0]);
      report("G1 put, 1 M tasks", bench::median(puts), "M/s", 0.8, true);
    }
  }
}

/// The same program again: glibc reads how it takes memory from the system at its start.
void memory_figures_on_huge_pages() {
  std::fflush(stdout);
  const pid_t child = ::fork();
  if (child < 0) return;
  if (child == 0) {
    ::setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1", 1);
    ::execl("/proc/self/exe", "reeve_bench_tasks", "1", "1", "huge", static_cast<char*>(nullptr));
    ::_exit(1);
  }
  ::waitpid(child, nullptr, 0);
}

struct Cell {
  std::vector<double> rate, p99, cpu;
  void add(const Rate& r) {
    rate.push_back(r.per_second);
    p99.push_back(r.p99_us);
    cpu.push_back(r.cpu_us);
  }
  double operator()() const { return bench::median(rate); }
};

void durable_figures(const std::string& dir, double seconds, int rounds) {
  asio::io_context context(1);
  StoreConfig config;
  config.path = dir + "/tasks.db";
  TaskStore store(context.get_executor(), config);
  fill(store, context, 0, 100'000);
  // What the bad case leaves to be folded must not be done in the next round's other cases.
  StoreConfig apart;
  apart.path = dir + "/random.db";
  TaskStore random_store(context.get_executor(), apart);
  fill(random_store, context, 0, 100'000);
  std::filesystem::create_directory(dir + "/always");
  std::filesystem::create_directory(dir + "/never");
  bench::Redis always(dir + "/always", bench::Append::always);
  bench::Redis never(dir + "/never", bench::Append::never);
  Cell w1, w64, w512, random, r1, r64, r512, rrandom, r_none, one_row, raw;
  for (int round = 0; round < rounds; ++round) {
    raw.add(bench::raw_fdatasync(dir, seconds / 3));
    one_row.add(bench::sqlite_one_row(dir, 1000, seconds));
    w1.add(durable(store, context, 1, 1000, seconds));
    if (always.ok()) r1.add(always.set(1, 1000, seconds));
    w64.add(durable(store, context, 64, 1000, seconds));
    if (always.ok()) r64.add(always.set(64, 1000, seconds));
    w512.add(durable(store, context, 512, 1000, seconds));
    if (always.ok()) r512.add(always.set(512, 1000, seconds));
    random.add(durable(random_store, context, 64, 100'000, seconds));
    if (always.ok()) rrandom.add(always.set(64, 100'000, seconds));
    if (never.ok()) r_none.add(never.set(64, 1000, seconds));
  }
  const char* redis = "redis-server, appendfsync always";
  reeve::bench::Figure("tasks", "raw write + fdatasync of 256 B", raw(), "1/s").print();
  report("G2 acks, 64 writers, 1,000 tasks", w64(), "1/s", 1.5, true, redis, r64());
  report("G2 acks, 64 writers, 1,000 tasks", w64(), "1/s", 5, true, "SQLite FULL, one row each",
         one_row());
  report("G2 p99, 64 writers", bench::median(w64.p99), "us", 2000, false);
  report("G2 p99, 64 writers", bench::median(w64.p99), "us", 1, false, redis,
         bench::median(r64.p99));
  report("G2 CPU per ack, 64 writers", bench::median(w64.cpu), "us", 4, false);
  report("G2 CPU per ack, 64 writers", bench::median(w64.cpu), "us", 1, false,
         "redis-server and its client", bench::median(r64.cpu));
  report("G3 acks, 512 writers", w512(), "1/s", 2.5, true, redis, r512());
  report("G3 acks, 1 writer", w1(), "1/s", 1.3, true, redis, r1());
  report("G3 acks, 1 writer", w1(), "1/s", 0.8, true, "SQLite FULL, one row each", one_row());
  report("G3 bad case: 100 k random tasks, 64 writers", random(), "1/s", 0.5, true, redis,
         rrandom());
  if (never.ok())
    reeve::bench::Figure("tasks", "redis-server without a log, 64 connections", r_none(), "1/s")
        .print();
  // A hog on every core.
  std::atomic<bool> stop{false};
  std::vector<std::thread> hogs;
  for (unsigned i = 0; i < std::thread::hardware_concurrency(); ++i)
    hogs.emplace_back([&stop] {
      while (!stop.load(std::memory_order_relaxed)) {
      }
    });
  const double busy = durable(store, context, 64, 1000, seconds).per_second;
  const double redis_busy = always.ok() ? always.set(64, 1000, seconds).per_second : 0;
  stop = true;
  for (auto& hog : hogs) hog.join();
  report("G4 acks, 64 writers, a hog per core", busy, "1/s", 10'000, true);
  report("G4 acks, 64 writers, a hog per core", busy, "1/s", 0.7, true, redis, redis_busy);
}

void recovery_figures(const std::string& dir) {
  asio::io_context context(1);
  StoreConfig config;
  config.path = dir + "/million.db";
  // In another process: this one's memory must be untouched when it is measured.
  const pid_t filler = ::fork();
  if (filler == 0) {
    {
      TaskStore store(context.get_executor(), config);
      for (int i = 0; i < 1'000'000; i += 50'000) fill(store, context, i, i + 50'000);
    }
    TaskStore(context.get_executor(), config).close();  // classifies what was left running
    ::_exit(0);
  }
  ::waitpid(filler, nullptr, 0);
  std::vector<double> seconds;
  double bytes = 0;
  for (int round = 0; round < 3; ++round) {
    const long before = resident_kib();
    const auto begin = Meter::now();
    TaskStore store(context.get_executor(), config);
    seconds.push_back(std::chrono::duration<double>(Meter::now() - begin).count());
    if (round == 0) bytes = (resident_kib() - before) * 1024.0 / 1e6 - 230;
  }
  report("G5 recovery of 1 M tasks", bench::median(seconds), "s", 2.0, false);
  std::filesystem::create_directory(dir + "/load");
  report("G5 recovery of 1 M tasks", bench::median(seconds), "s", 2.0, false,
         "redis-server, loading its log", bench::redis_load_seconds(dir + "/load", 1'000'000, 230));
  report("G5 memory per task beyond its 230 B body", bytes, "B", 600, false);
}

}  // namespace

/// For a profiler: so many writers, nothing else.
void store_alone(const std::string& dir, double seconds, int writers) {
  asio::io_context context(1);
  StoreConfig config;
  // A file of its own: what another store left running is interrupted, and takes no progress.
  config.path = dir + "/alone-" + std::to_string(writers) + ".db";
  TaskStore store(context.get_executor(), config);
  // What is measured is a store in use: its log has its length, what the filling left is folded.
  fill(store, context, 0, 100'000);
  durable(store, context, 64, 1000, seconds / 2);
  const auto before = store.health();
  const Rate rate = durable(store, context, writers, 1000, seconds);
  const auto after = store.health();
  if (writers == 1)
    reeve::bench::Figure("tasks", "SQLite one row",
                         bench::sqlite_one_row(dir, 1000, seconds).per_second, "1/s")
        .print();
  reeve::bench::Figure("tasks", "store alone", rate.per_second, "1/s").print();
  reeve::bench::Figure("tasks", "store alone, CPU per ack", rate.cpu_us, "us").print();
  reeve::bench::Figure("tasks", "store alone, p99", rate.p99_us, "us").print();
  reeve::bench::Figure("tasks", "store alone, rows per commit",
                       static_cast<double>(after.rows - before.rows) /
                           static_cast<double>(after.commits - before.commits),
                       "")
      .print();
}

/// reeve_bench_tasks [SECONDS [ROUNDS [SECTION...]]]; sections: recovery memory durable integrity,
/// and, only when they are named, store, lone and huge.
int main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::atof(argv[1]) : 1.0;
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 3;
  const auto wanted = [&](std::string_view section) {
    bool found = argc <= 3;
    for (int i = 3; i < argc; ++i) found = found || argv[i] == section;
    return found;
  };
  std::string directory = (std::filesystem::temp_directory_path() / "reeve-bench-XXXXXX").string();
  if (::mkdtemp(directory.data()) == nullptr) return 1;
  if (argc <= 3 || !wanted("huge"))
    std::puts(
        "The store is called in its process, redis-server through a loopback socket, as each is "
        "used; SQLite and fdatasync by one caller.");
  std::fflush(stdout);
  if (wanted("integrity")) {
    // In a process of its own: what memory comes back is part of it.
    const pid_t child = ::fork();
    if (child == 0) {
      bench::power_cut_figures();
      bench::expiry_figures();
      ::_exit(0);
    }
    ::waitpid(child, nullptr, 0);
  }
  if (wanted("recovery")) recovery_figures(directory);
  if (wanted("memory")) {
    memory_figures(false);
    memory_figures_on_huge_pages();
  }
  if (argc > 3 && wanted("huge")) memory_figures(true);
  if (wanted("durable")) durable_figures(directory, seconds, rounds);
  if (argc > 3 && wanted("store")) store_alone(directory, seconds, 64);
  if (argc > 3 && wanted("lone")) store_alone(directory, seconds, 1);
  std::filesystem::remove_all(directory);
}
