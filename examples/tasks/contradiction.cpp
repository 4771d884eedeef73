// Contradiction detection as a service runs it: record, slot, model lock, cache, worker, result.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdio>
#include <reeve/cache.hpp>
#include <reeve/limits.hpp>
#include <reeve/pool.hpp>
#include <reeve/tasks.hpp>
#include <sstream>

namespace asio = boost::asio;
using namespace std::chrono_literals;
using namespace reeve::literals;
using namespace reeve::tasks;

struct Model {  // what a language model would be: here, words that exclude each other
  std::vector<std::pair<std::string, std::string>> opposites;
};
struct Finding {
  double score = 0;
  std::string why;
};

// [worker]
Finding detect(const Model& model, const std::string& claim, const std::string& other) {
  const auto has = [](const std::string& text, const std::string& word) {
    return text.find(word) != std::string::npos;
  };
  Finding finding{0, "nothing that excludes itself"};
  double done = 10;
  for (const auto& [a, b] : model.opposites) {
    if ((has(claim, a) && has(other, b)) || (has(claim, b) && has(other, a)))
      finding = {0.9, a + " against " + b};
    done += 80.0 / model.opposites.size();
    reeve::this_worker::report_progress(done);
  }
  return finding;
}
// [/worker]

asio::awaitable<Model> load_model() {
  std::printf("the model is loaded\n");
  Model model{{{"reduces", "increases"}, {"safe", "toxic"}}};
  co_return model;
}

/// The output of an example must not depend on what else the machine does.
struct CalmMachine final : reeve::limits::UsageProbe {
  reeve::limits::Sample sample() override { return {}; }
};

struct Service {
  TaskStore store;
  reeve::limits::ResourceLimiter limiter;
  reeve::cache::ModelCache<Model> models;
  reeve::ResourcePool pool;
};

// [flow]
asio::awaitable<Json> detect_contradiction(Service* service, std::string claim, std::string other,
                                           ProgressSink progress) {
  const auto slot = co_await service->limiter.acquire_task_slot(600s);
  auto lock = co_await service->limiter.acquire_model_lock("biomedlm", 300s);
  reeve::cache::ModelMetadata metadata;
  metadata.memory = 64_MiB;
  reeve::cache::ModelCache<Model>::Factory factory = load_model;
  const auto model = co_await service->models.get_or_create("biomedlm", factory, metadata);
  service->limiter.register_model_usage("biomedlm", metadata.memory);
  lock.release();
  progress(10);
  auto worker = co_await service->pool.acquire_worker("contradiction");
  reeve::RunLimits limits(60s);
  limits.progress = progress;
  const Finding finding = co_await worker.run<&detect>(limits, *model, claim, other);
  Fields result;
  result.set("contradiction_score", finding.score).set("explanation", finding.why);
  co_return result;
}

asio::awaitable<void> serve(Service* service, std::string id, std::string claim,
                            std::string other) {
  TrackedWork work = [=](ProgressSink progress) {
    return detect_contradiction(service, claim, other, progress);
  };
  TrackOptions options;
  options.tries_max = 3;
  options.time_limit = 3600s;
  co_await tracked(service->store, id, work, options);
}
// [/flow]

int main(int argc, char** argv) {
  reeve::init(argc, argv);
  asio::io_context context;
  reeve::ResourceConfig workers;
  workers.max_workers = 2;
  workers.worker_timeout = 120s;
  workers.worker_memory = 256_MiB;
  auto limits = reeve::limits::LimiterConfig::from_environment();
  limits.limits.max_concurrent_tasks = 2;
  limits.probe = std::make_shared<CalmMachine>();
  const auto executor = context.get_executor();
  Service service{
      TaskStore(executor), reeve::limits::ResourceLimiter(executor, limits),
      reeve::cache::ModelCache<Model>(executor, reeve::cache::CacheConfig::from_environment()),
      reeve::ResourcePool(executor, workers)};
  const auto start = [&](const char* id, const char* claim, const char* other) {
    asio::co_spawn(context, serve(&service, id, claim, other), [](std::exception_ptr failure) {
      if (failure) std::rethrow_exception(failure);
    });
  };
  start("task-1", "aspirin reduces the risk", "aspirin increases the risk");
  start("task-2", "the drug is safe", "the drug is cheap");
  start("task-3", "in mice it is toxic", "in men it is safe");
  context.run();
  for (const auto& record : service.store.list_tasks().items)
    std::printf("%s %s: %s\n", record.id().c_str(), to_string(record.state()).data(),
                std::string(record.result()).c_str());
  const auto stats = service.models.stats();
  std::printf("%d loads, %d hits, %d tasks left\n", static_cast<int>(stats.loads),
              static_cast<int>(stats.hits), service.limiter.resource_usage().tasks);
}
// [output]
// the model is loaded
// task-1 completed: {"contradiction_score":0.9,"explanation":"reduces against increases"}
// task-2 completed: {"contradiction_score":0,"explanation":"nothing that excludes itself"}
// task-3 completed: {"contradiction_score":0.9,"explanation":"safe against toxic"}
// 1 loads, 2 hits, 0 tasks left
// [/output]
