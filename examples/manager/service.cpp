// A service: many request threads of some framework share a warm pool; a bad request ends its own
// worker and nothing else.
#include <atomic>
#include <csignal>
#include <cstdio>
#include <reeve/manager.hpp>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using namespace reeve::literals;

std::size_t render(const std::string& text) {
  if (text.empty()) std::raise(SIGSEGV);  // native code with a fault
  return 2 * text.size();
}

// [handler]
std::string handle_request(reeve::PoolManager& manager, const std::string& body) {
  try {
    const reeve::ManagedPool pool = manager.get_preset("render");  // below 1 us
    return "200 " + std::to_string(pool.submit<&render>(body).get());
  } catch (const reeve::WorkerError&) {
    return "500";
  } catch (const reeve::Error&) {  // saturated, or shutting down
    return "503";
  }
}
// [/handler]

// [start]
reeve::ManagerConfig service_config() {
  reeve::Preset render_pool;
  render_pool.name = "render";
  render_pool.config.max_workers = 2;
  render_pool.config.worker_timeout = 5s;
  render_pool.config.worker_memory = 256_MiB;
  render_pool.warm_workers = 2;
  render_pool.keep = true;  // also when no request comes for hours
  reeve::ManagerConfig config;
  config.presets = {render_pool};
  config.health_interval = 10s;
  return config;
}

int main(int argc, char** argv) {
  reeve::init(argc, argv);
  reeve::PoolManager manager(service_config());
  manager.warm_up();  // before the first request
  // [/start]
  std::atomic<int> good{0}, bad{0}, wrong{0};
  std::vector<std::thread> requests;  // as a web framework would have them
  for (int client = 0; client < 8; ++client) {
    requests.emplace_back([&, client] {
      for (int i = 0; i < 50; ++i) {
        const bool faulty = i == 25 && client < 2;
        const std::string answer = handle_request(
            manager, faulty ? "" : std::string(static_cast<std::size_t>(i + 1), 'x'));
        good += answer == "200 " + std::to_string(2 * (i + 1));
        bad += faulty && answer == "500";
        wrong += faulty ? answer != "500" : answer.rfind("200", 0) != 0;
      }
    });
  }
  for (auto& request : requests) request.join();
  std::printf("answered: %d, failed: %d, wrong: %d\n", good.load(), bad.load(), wrong.load());
  std::printf("pools made: %llu\n", static_cast<unsigned long long>(manager.stats().creations));
  const std::string metrics = reeve::to_prometheus(manager.stats());
  const std::size_t hits = metrics.find("\nreeve_manager_hits_total ") + 1;
  std::printf("%s\n", metrics.substr(hits, metrics.find('\n', hits) - hits).c_str());
}
// [output]
// answered: 398, failed: 2, wrong: 0
// pools made: 1
// reeve_manager_hits_total 400
// [/output]
