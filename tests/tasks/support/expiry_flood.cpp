// The clock of the store stands still while it is filled, and follows the real one afterwards.
#include "tests/tasks/support/expiry_flood.hpp"

#include <malloc.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <fstream>
#include <random>
#include <reeve/tasks/task_store.hpp>
#include <thread>
#include <vector>

#include "tests/tasks/support/run.hpp"

namespace reeve::tasks::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

double resident_mib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmRSS:")) return std::stod(line.substr(6)) / 1024;
  return 0;
}

std::string id_of(int n) {
  return "7c9e6679-7425-40de-944b-" + std::to_string(100'000'000 + n);
}

double ms_since(steady_clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(steady_clock::now() - begin).count();
}

constexpr milliseconds lead = std::chrono::hours{1};

class Flood {
 public:
  Flood(int tasks, const std::string& path) : tasks_(tasks) {
    config_.path = path;
    config_.clock = &clock_;
    config_.wall_clock = &wall_;
    store_.emplace(context_.get_executor(), config_);
  }

  FloodFindings run_it() {
    FloodFindings f;
    run(context_, store_->create_task("alive"));
    f.before_mib = resident_mib();
    run(context_, fill());
    f.full_mib = resident_mib();
    advance(lead - milliseconds{5});
    nudge();
    observe(f);
    const auto last = steady_clock::now();
    while (store_->counts().total() != 1 && ms_since(last) < 60'000)
      std::this_thread::sleep_for(milliseconds{5});
    f.gone_s = ms_since(last) / 1000;
    f.left = store_->counts().total() - 1;
    run(context_, store_->flush());
    ::malloc_trim(0);
    f.after_mib = resident_mib();
    return f;
  }

 private:
  milliseconds kept(int n) const { return lead + milliseconds{1000LL * n / tasks_}; }
  void advance(std::chrono::nanoseconds step) {
    passed_ += step;
    clock_.advance(step);
    const auto whole = std::chrono::duration_cast<milliseconds>(passed_) - wall_passed_;
    wall_passed_ += whole;
    wall_.advance(whole);
  }
  boost::asio::awaitable<void> fill() {
    CreateOptions create;
    UpdateOptions update;
    create.durability = update.durability = Durability::relaxed;
    Fields body;
    body.set("pad", std::string(200, 'p'));
    for (int i = 0; i < tasks_; ++i) {
      const std::string id = id_of(i);
      create.ttl = kept(i);
      auto creating = store_->create_task(id, body, create);
      co_await std::move(creating);
      auto ending = store_->fail_task(id, "done", "", update);
      co_await std::move(ending);
    }
    auto flushing = store_->flush();
    co_await std::move(flushing);
  }
  /// The store's thread sleeps by the real clock: a task that expires sooner wakes it.
  void nudge() {
    CreateOptions create;
    create.ttl = milliseconds{1};
    run(context_, store_->create_task("nudge", Fields(), create));
    run(context_, store_->cancel_task("nudge"));
  }
  void observe(FloodFindings& f) {
    std::vector<float> times;
    std::mt19937 random(3);
    auto now = steady_clock::now();
    const auto until = now + milliseconds{1005};
    while (now < until) {
      const int n = static_cast<int>(random() % tasks_);
      const bool expired = passed_ >= kept(n);
      const std::string id = id_of(n);
      const auto begin = steady_clock::now();
      const bool there = store_->get_task_status(id).has_value();
      times.push_back(static_cast<float>(ms_since(begin)));
      f.late += there && expired;
      f.late += !store_->get_task_status("alive");
      if (times.size() % 64 == 0) std::this_thread::sleep_for(std::chrono::microseconds{200});
      const auto next = steady_clock::now();
      advance(next - now);
      now = next;
    }
    std::sort(times.begin(), times.end());
    f.gets = times.size();
    f.p99_ms = times[times.size() * 99 / 100];
    f.worst_ms = times.back();
  }

  const int tasks_;
  ManualClock clock_;
  ManualWallClock wall_;
  std::chrono::nanoseconds passed_{0};
  milliseconds wall_passed_{0};
  StoreConfig config_;
  boost::asio::io_context context_{1};
  std::optional<TaskStore> store_;
};

}  // namespace

FloodFindings expire_flood(int tasks, const std::string& path) {
  return Flood(tasks, path).run_it();
}

}  // namespace reeve::tasks::testing
