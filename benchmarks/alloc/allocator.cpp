// Figures of the allocator: decisions, shares, memory, replay, over the number of nodes and users,
// each beside a naive form.
#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <new>
#include <reeve/alloc.hpp>

#include "benchmarks/alloc/measure.hpp"
#include "benchmarks/alloc/naive.hpp"
#include "benchmarks/support/report.hpp"
#include "tests/alloc/node_checker.hpp"

using namespace reeve::alloc;
using namespace reeve::bench;

// Counts what this program takes from the heap.
static std::atomic<std::int64_t> allocations{0};
static std::atomic<std::int64_t> bytes{0};

void* operator new(std::size_t size) {
  void* p = std::malloc(size);
  if (!p) throw std::bad_alloc();
  allocations.fetch_add(1, std::memory_order_relaxed);
  bytes.fetch_add(static_cast<std::int64_t>(malloc_usable_size(p)), std::memory_order_relaxed);
  return p;
}
void operator delete(void* p) noexcept {
  bytes.fetch_sub(static_cast<std::int64_t>(malloc_usable_size(p)), std::memory_order_relaxed);
  std::free(p);
}
void operator delete(void* p, std::size_t) noexcept {
  operator delete(p);
}

namespace {

// One piece of two dimensions on a node of at least some class.
struct Piece {
  std::int64_t cores;
  std::int64_t memory;
  std::int64_t kind;
};

std::vector<Piece> pieces() {
  Draw draw(9);
  std::vector<Piece> all(4096);
  for (auto& p : all) p = {1000 * draw(1, 16), draw(1, 64), draw(0, 4)};
  return all;
}

Request request_for(const Piece& p) {
  Request r{.gang = {{.amount = Amounts::of(0, p.cores), .where = {needs("class", p.kind)}}}};
  r.gang[0].amount[1] = p.memory;
  return r;
}

// A cluster with four reservations a node; from then on one goes for each that comes.
class Cluster {
 public:
  Cluster(std::int64_t nodes, Strategy strategy)
      : strategy_(strategy), manager_(Dimensions::standard(), clock_) {
    for (const auto& p : pieces()) requests_.push_back(request_for(p));
    for (std::int64_t n = 0; n < nodes; ++n) {
      Amounts capacity = Amounts::of(0, 64'000);
      capacity[1] = 256;
      (void)manager_
          .register_resource({.name = numbered(static_cast<std::uint64_t>(n)),
                              .capacity = capacity,
                              .capabilities = {{"class", n % 15}}})
          .value();
    }
    for (std::int64_t i = 0; i < nodes * 4; ++i) live_.push_back(create());
  }
  ReservationId create() {
    return manager_.create_reservation("x", requests_[next_++ % requests_.size()], strategy_)
        .value();
  }
  void step() {
    auto& id = live_[draw_.below(live_.size())];
    (void)manager_.release_reservation(id).has_value();
    id = create();
  }
  double rate(std::int64_t operations) {
    return per_second(operations, [&] {
      for (std::int64_t i = 0; i < operations; ++i) step();
    });
  }
  double p99(std::int64_t operations) {
    std::vector<double> micros;
    micros.reserve(static_cast<std::size_t>(operations));
    for (std::int64_t i = 0; i < operations; ++i) {
      auto& id = live_[draw_.below(live_.size())];
      (void)manager_.release_reservation(id).has_value();
      const auto begin = std::chrono::steady_clock::now();
      id = create();
      micros.push_back(
          std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin)
              .count());
    }
    return percentile(micros, 0.99);
  }
  double refusals(std::int64_t operations) {
    const Request large = request_for({64'000, 256, 0});  // only an idle node could take it
    std::vector<ReservationId> taken;
    while (auto id = manager_.create_reservation("x", large, Strategy::first_fit))
      taken.push_back(*id);
    const double rate = per_second(operations, [&] {
      for (std::int64_t i = 0; i < operations; ++i)
        (void)manager_.create_reservation("x", large, strategy_).has_value();
    });
    for (auto id : taken) (void)manager_.release_reservation(id).has_value();
    return rate;
  }
  const ReservationManager& manager() const { return manager_; }
  const std::vector<ReservationId>& live() const { return live_; }

 private:
  Strategy strategy_;
  reeve::ManualClock clock_;
  ReservationManager manager_;
  Draw draw_{11};
  std::vector<Request> requests_;
  std::size_t next_ = 0;
  std::vector<ReservationId> live_;
};

// The same decisions by a look at each, from the state that `cluster` is in.
double naive_decisions(const Cluster& cluster, bool best_fit) {
  NaiveCluster naive;
  const auto& manager = cluster.manager();
  for (std::size_t n = 0; n < manager.resource_count(); ++n) {
    const auto& account = manager.ledger().resources()[n];
    naive.add(account.capacity[0], account.capacity[1], static_cast<std::int64_t>(n % 15));
    const auto used = account.balance.held + account.balance.committed;
    naive.give(n, -used[0], -used[1]);
  }
  std::vector<std::pair<std::size_t, Piece>> live;
  for (auto id : cluster.live()) {
    const auto& line = manager.find(id)->lines[0];
    live.emplace_back(static_cast<std::size_t>(line.resource),
                      Piece{line.amount[0], line.amount[1], 0});
  }
  const auto all = pieces();
  Draw draw(11);
  std::size_t next = 0;
  const std::int64_t operations = live.size() > 100'000 ? 1'000 : 10'000;
  return per_second(operations, [&] {
    for (std::int64_t i = 0; i < operations; ++i) {
      auto& [node, piece] = live[draw.below(live.size())];
      naive.give(node, piece.cores, piece.memory);
      piece = all[next++ % all.size()];
      node = naive.take(piece.cores, piece.memory, piece.kind, best_fit);
    }
  });
}

void decisions() {
  for (std::int64_t nodes : {1'213, 10'000, 100'000}) {
    Cluster first(nodes, Strategy::first_fit);
    (void)first.rate(20'000);
    Figure f("alloc", named("create and release, first fit (G2) nodes", nodes),
             best_of_three([&] { return first.rate(100'000); }), "1/s");
    if (nodes == 1'213) f.at_least(1e6);
    f.against("look at each", naive_decisions(first, false)).print();

    Cluster best(nodes, Strategy::best_fit);
    (void)best.rate(20'000);
    Figure g("alloc", named("create and release, best fit (G2) nodes", nodes),
             best_of_three([&] { return best.rate(100'000); }), "1/s");
    if (nodes == 1'213) g.at_least(3e5);
    if (nodes == 10'000) g.at_least(2e5);
    g.against("look at each", naive_decisions(best, true)).print();
    Figure p("alloc", named("create, best fit, p99 (G2) nodes", nodes), best.p99(100'000), "us");
    if (nodes <= 10'000) p.at_most(20);
    p.print();
    Figure("alloc", named("refuse as busy nodes", nodes), best.refusals(20'000), "1/s").print();

    const auto before = allocations.load();
    (void)first.rate(100'000);
    (void)best.rate(100'000);
    Figure("alloc", named("heap allocations per decision (G11) nodes", nodes),
           static_cast<double>(allocations.load() - before) / 200'000, "1")
        .at_most(0)
        .print();
  }
}

// G6: charge one user, which moves it in its heap.
double share_rate(std::int64_t users) {
  ShareTree tree(Amounts::of(0, 1'000'000'000));
  std::vector<ShareId> ids;
  for (std::int64_t u = 0; u < users; ++u) ids.push_back(tree.add().value());
  for (auto id : ids) tree.set_active(id, true);
  Draw draw(7);
  const std::int64_t operations = 1'000'000;
  return per_second(operations, [&] {
    for (std::int64_t i = 0; i < operations; ++i)
      tree.charge(ids[draw.below(ids.size())], Amounts::of(0, draw(1, 9)));
  });
}

double naive_share_rate(std::int64_t users) {
  NaiveShares shares(static_cast<std::size_t>(users));
  Draw draw(7);
  const std::int64_t operations = 2'000;
  volatile std::size_t sink = 0;
  return per_second(operations, [&] {
    for (std::int64_t i = 0; i < operations; ++i)
      sink = shares.charge(draw.below(static_cast<std::size_t>(users)), draw(1, 9));
  });
}

// G11: what 100,000 reservations of one line take beyond those lines.
void memory() {
  reeve::ManualClock clock;
  ReservationManager manager(Dimensions::standard(), clock);
  for (std::uint64_t n = 0; n < 1'000; ++n)
    (void)manager.register_resource({.name = numbered(n), .capacity = Amounts::of(0, 1'000'000)})
        .value();
  const Request request{.gang = {{.amount = Amounts::of(0, 1)}}};
  (void)manager.create_reservation("x", request).value();
  const auto before = bytes.load();
  const int count = 100'000;
  for (int i = 0; i < count; ++i) (void)manager.create_reservation("x", request).value();
  const double each = static_cast<double>(bytes.load() - before) / count - double(sizeof(Line));
  Figure("alloc", "bytes of a live reservation beside its line (G11)", each, "B")
      .at_most(200)
      .print();
}

void replay() {
  const char* root = std::getenv("REEVE_DATA_DIR");
  std::ifstream in(root ? std::string(root).append("/allocation/hpc2n.swf") : std::string());
  if (!in) return;
  const auto trace = read_swf(in).value();
  double slowdown = 0;
  const double rate = best_of_three([&] {
    return per_second(1, [&] {
      slowdown =
          simulate(trace.jobs, {.processors = trace.processors}).value().mean_bounded_slowdown;
    });
  });
  Figure("alloc", "hpc2n EASY replay (G8)", 1000 / rate, "ms").at_most(50).print();
  Figure("alloc", "hpc2n EASY bounded slowdown (G8)", slowdown, "x").at_most(17.07).print();
}

// G8, second half: the same log on HPC2N's 120 nodes of two processors and 1 GiB, with the memory
// that it says, under three rules; a sweep that knows nothing of the simulator counts breaks.
void replay_on_nodes() {
  const char* root = std::getenv("REEVE_DATA_DIR");
  std::ifstream in(root ? std::string(root).append("/allocation/hpc2n.swf") : std::string());
  if (!in) return;
  const auto trace =
      read_swf(in, {.requests = SwfOptions::Requests::per_node, .processors_per_node = 2}).value();
  const NodeMachine machine{
      {{.name = "seth", .count = 120, .processors = 2, .memory = std::int64_t{1} << 30}}};
  const SimulatorOptions named{.placement = Placement::identified};
  const SimulatorOptions conservative{.backfill = Backfill::conservative,
                                      .placement = Placement::identified,
                                      .replan = Replan::compress};
  std::size_t breaks = 0;
  const auto row = [&](const char* name, const SimulatorOptions& rule) {
    NodeReplay ran;
    const double rate = best_of_three([&] {
      return per_second(1, [&] {
        ran =
            simulate_on_nodes(trace.jobs, trace.requests, machine, rule, Unrunnable::list).value();
      });
    });
    breaks += node_breaks({trace.jobs, trace.requests, machine, rule, ran}).size();
    Figure f("alloc", name, 1000 / rate, "ms");
    if (rule.placement == Placement::counted) f.at_most(50);
    f.print();
  };
  row("hpc2n on 120 nodes, EASY (G8b)", {});
  row("hpc2n on 120 nodes, EASY, nodes named (G8b)", named);
  row("hpc2n on 120 nodes, conservative, nodes named (G8b)", conservative);
  Figure("alloc", "hpc2n on 120 nodes, breaks under those (G8b)", static_cast<double>(breaks), "1")
      .at_most(0)
      .print();
}

}  // namespace

int main() {
  decisions();
  for (std::int64_t n : {1'000, 10'000, 100'000}) {
    Figure f("alloc", named("share updates (G6) users", n),
             best_of_three([&] { return share_rate(n); }), "1/s");
    if (n == 100'000) f.at_least(1e6);
    f.against("look at each", naive_share_rate(n)).print();
  }
  memory();
  replay();
  replay_on_nodes();
}
