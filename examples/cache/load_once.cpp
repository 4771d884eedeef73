// Three callers want one model: one load, and what the cache knows afterwards.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdio>
#include <reeve/cache.hpp>

namespace asio = boost::asio;
using namespace reeve::cache;
using namespace reeve::literals;

struct Model {
  int answer;
};
using Models = ModelCache<Model>;

// [use]
asio::awaitable<Model> load_model() {
  std::printf("loading\n");
  co_return Model{42};
}

asio::awaitable<void> ask(Models& models) {
  ModelMetadata metadata;
  metadata.memory = 64_MiB;  // reserved before the load
  const Models::Factory factory = load_model;
  const auto model = co_await models.get_or_create("biomedlm", factory, metadata);
  std::printf("the answer is %d\n", model->answer);
}  // the handle pinned the model until here
// [/use]

int main() {
  asio::io_context context;
  CacheConfig config;
  config.memory_max = 100_MiB;
  Models models(context.get_executor(), config);
  for (int i = 0; i < 3; ++i) asio::co_spawn(context, ask(models), asio::detached);
  context.run();

  // [full]
  const auto held = models.get("biomedlm");
  models.remove("biomedlm");  // its memory counts while it is held
  ModelMetadata large;
  large.memory = 64_MiB;
  try {
    models.put("other", Model{7}, large);
  } catch (const CacheFullError& e) {
    std::printf("%s\n", e.what());
  }
  // [/full]
}
// [output]
// loading
// the answer is 42
// the answer is 42
// the answer is 42
// no room for model 'other' (64 MiB): 0 of 5 models and 64 MiB of 100 MiB are in use ...
// [/output]
