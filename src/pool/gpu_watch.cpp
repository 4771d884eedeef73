// The reading thread, and the pool's judgement of what it read.
#include "pool/gpu_watch.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <condition_variable>
#include <cstdlib>
#include <map>
#include <mutex>
#include <reeve/os/gpu.hpp>
#include <thread>

#include "pool/core.hpp"
#include "process/tree.hpp"

namespace reeve::detail {

using Processes = os::GpuReading<std::vector<os::GpuProcess>>;

struct GpuWatch::Reader {
  os::GpuMonitor monitor;
  std::vector<unsigned> devices;
  std::thread thread;

  std::mutex mutex;
  std::condition_variable changed;
  bool wanted = false;
  bool reading = false;
  bool ending = false;
  std::int64_t asked_at = 0;
  std::int64_t began = 0;  // of the answer
  std::map<unsigned, Processes> answer;

  static void run(const std::shared_ptr<Reader>& self);
};

void GpuWatch::Reader::run(const std::shared_ptr<Reader>& self) {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, nullptr);
  std::unique_lock lock(self->mutex);
  for (;;) {
    self->changed.wait(lock, [&] { return self->wanted || self->ending; });
    if (self->ending) return;
    self->wanted = false;
    self->reading = true;
    const std::int64_t began = now_ns();
    lock.unlock();
    std::map<unsigned, Processes> answer;
    for (const unsigned device : self->devices) answer[device] = self->monitor.processes(device);
    lock.lock();
    self->answer = std::move(answer);
    self->began = began;
    self->reading = false;
    self->changed.notify_all();
  }
}

GpuWatch::GpuWatch(const ResourceConfig& config) : limit_(config.gpu_memory) {
  const char* list = std::getenv("CUDA_VISIBLE_DEVICES");
  for (const auto& [name, value] : config.environment) {
    if (name == "CUDA_VISIBLE_DEVICES") list = value.c_str();
  }
  list_given_ = list != nullptr;
  if (list_given_) visible_ = list;
  // NVML names processes by the pids of the host: elsewhere a number may hit the wrong process.
  constexpr ino_t first_namespace = 0xEFFFFFFC;
  struct stat own{};
  if (std::getenv("REEVE_NVML") == nullptr &&
      (stat("/proc/self/ns/pid", &own) != 0 || own.st_ino != first_namespace)) {
    reason_ = "NVML tells pids of the host, and this program is in a pid namespace of its own";
    return;
  }
  auto reader = std::make_shared<Reader>();
  reason_ = reader->monitor.reason();
  if (!reason_.empty()) return;
  for (const std::string& device : config.devices) {
    const auto index = index_of(device);
    if (!index) {
      if (device != "cpu")
        reason_ = fmt::format("{} cannot be told from CUDA_VISIBLE_DEVICES={}", device, visible_);
      continue;
    }
    const Processes first = reader->monitor.processes(*index);
    if (!first) reason_ = first.reason;
    if (std::find(reader->devices.begin(), reader->devices.end(), *index) == reader->devices.end())
      reader->devices.push_back(*index);
  }
  if (reader->devices.empty() && reason_.empty()) reason_ = "no device of this pool is cuda:N";
  if (!reason_.empty()) return;
  reader_ = std::move(reader);
  reader_->thread = std::thread([self = reader_] { Reader::run(self); });
}

GpuWatch::~GpuWatch() {
  if (!reader_) return;
  std::unique_lock lock(reader_->mutex);
  reader_->ending = true;
  reader_->changed.notify_all();
  const bool idle =
      reader_->changed.wait_for(lock, std::chrono::seconds(1), [&] { return !reader_->reading; });
  lock.unlock();
  if (idle) {
    reader_->thread.join();
  } else {
    reader_->thread.detach();  // in the driver; it owns what it uses
  }
}

std::optional<unsigned> GpuWatch::index_of(std::string_view device) const {
  const auto entry = os::cuda_visible_devices(device, list_given_ ? visible_.c_str() : nullptr);
  if (!entry || entry->empty()) return std::nullopt;
  unsigned index = 0;
  const char* last = entry->data() + entry->size();
  const auto [end, error] = std::from_chars(entry->data(), last, index);
  if (error != std::errc{} || end != last) return std::nullopt;
  return index;
}

bool GpuWatch::watches(std::string_view device) const {
  return reader_ != nullptr && index_of(device).has_value();
}

std::int64_t GpuWatch::ask(std::int64_t now) {
  const std::lock_guard lock(reader_->mutex);
  const bool busy = reader_->wanted || reader_->reading;
  if (busy) return now + (now - reader_->asked_at < interval ? answer_wait : interval);
  if (now < reader_->asked_at + interval) return reader_->asked_at + interval;
  reader_->asked_at = now;
  reader_->wanted = true;
  reader_->changed.notify_all();
  return now + answer_wait;
}

std::optional<std::uint64_t> GpuWatch::usage(std::string_view device, pid_t pid,
                                             std::int64_t since) const {
  const auto index = index_of(device);
  const std::lock_guard lock(reader_->mutex);
  const auto found = index ? reader_->answer.find(*index) : reader_->answer.end();
  if (found == reader_->answer.end() || !found->second || reader_->began < since)
    return std::nullopt;
  const std::vector<os::GpuProcess>& processes = *found->second.value;
  if (processes.empty()) return 0;
  std::vector<pid_t> tree{pid};
  process::list_descendants(pid, tree);
  std::uint64_t sum = 0;
  for (const os::GpuProcess& process : processes) {
    if (std::find(tree.begin(), tree.end(), process.pid) == tree.end()) continue;
    if (!process.bytes) return std::nullopt;
    sum += *process.bytes;
  }
  return sum;
}

Capability GpuWatch::capability() const {
  if (!reader_) return {"nvml", false, "gpu_memory is not enforced: " + reason_};
  const std::lock_guard lock(reader_->mutex);
  for (const auto& [device, processes] : reader_->answer) {
    if (!processes)
      return {"nvml", false, fmt::format("GPU {} could not be read: {}", device, processes.reason)};
    for (const os::GpuProcess& process : *processes.value) {
      if (!process.bytes)
        return {"nvml", false,
                fmt::format("the driver does not tell what processes use on GPU {}", device)};
    }
  }
  if (reader_->reading && now_ns() - reader_->asked_at > 10 * interval)
    return {"nvml", false, "the driver has not answered for more than a second"};
  return {"nvml", true,
          fmt::format("a lease whose tree uses more than {} on its GPU is ended; looked at every "
                      "{} ms",
                      to_string(limit_), interval / 1'000'000)};
}

// Ends leases whose tree uses too much on their GPU.
std::int64_t Core::watch_gpus(std::int64_t now) {
  bool any = false;
  for (std::uint32_t number = 0; number < slots_.size(); ++number) {
    Slot& slot = slots_[number];
    if (slot.lease == nullptr || slot.pid == 0 || !gpus_->watches(slot.device)) continue;
    any = true;
    const auto used = gpus_->usage(slot.device, slot.pid, slot.lease->granted_at);
    if (!used || *used <= config_.gpu_memory.bytes()) continue;
    process::BoardSlot& cell = *slots_[number].cell;
    std::uint64_t word = cell.word.load();
    if (process::LeaseWord(word).cause() != Cause::active ||
        !cell.word.compare_exchange_strong(word,
                                           process::LeaseWord(word).with(Cause::memory).bits())) {
      continue;
    }
    slot.lease->gpu_observed = *used;
    backend_->kill(number, slot.incarnation, Cause::memory);
  }
  return any ? gpus_->ask(now) : process::never;
}

}  // namespace reeve::detail
