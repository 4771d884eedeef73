// Three people share a machine: the same queue under three policies, and a dashboard.
#include <chrono>
#include <iostream>
#include <reeve/alloc.hpp>

using namespace reeve::alloc;

namespace {

void serve(const Policy& policy) {
  reeve::ManualClock clock;
  ReservationManager manager(Dimensions::standard(), clock);
  manager.register_resource({.name = "node", .capacity = Amounts::of(0, 12'000)}).value();
  ResourceAllocator allocator(manager, policy);
  const auto ask = [&](const char* who, std::int64_t cores, std::int32_t priority) {
    const Request request{.gang = {{.amount = Amounts::of(0, cores * 1000)}}, .priority = priority};
    allocator.submit(who, request).value();
  };
  for (int i = 0; i < 4; ++i) ask("ann", 3, 0);
  for (int i = 0; i < 4; ++i) ask("ben", 3, 0);
  ask("eve", 6, 9);
  std::cout << policy.name << ':';
  for (const auto& grant : allocator.schedule().granted)
    std::cout << ' ' << manager.owner_name(manager.find(grant.reservation)->owner);
  std::cout << '\n';
}

void age() {
  using namespace std::chrono_literals;
  reeve::ManualClock clock;
  ReservationManager manager(Dimensions::standard(), clock);
  manager.register_resource({.name = "node", .capacity = Amounts::of(0, 4000)}).value();
  const Request request{.gang = {{.amount = Amounts::of(0, 4000)}}};
  // [queue]
  DrfPolicy drf;
  drf.set_group("alice", "physics").value();
  drf.set_weight("physics", 2).value();
  ResourceAllocator allocator(
      manager, Policy(drf) | PriorityPolicy({.period = ticks(1min)}) | best_fit() | QuotaPolicy());
  const Ticket ticket = allocator.submit("alice", request).value();
  for (const auto& grant : allocator.schedule().granted)
    std::cout << (grant.ticket == ticket ? "alice has it\n" : "another has it\n");
  // [/queue]
}

}  // namespace

int main() {
  // [policies]
  DrfPolicy drf;
  drf.set_weight("ben", 3).value();
  for (const Policy& policy : {fifo(), Policy(PriorityPolicy()), Policy(drf)}) serve(policy);
  serve(Policy(FairPolicy(0)) | Policy(PriorityPolicy()) | best_fit());
  // [/policies]
  age();
}

// [output]
// fifo: ann ann ann ann
// priority: eve ann ann
// drf: ann ben eve
// fair|priority|best_fit: ann ben eve
// alice has it
// [/output]
