// Reserve capacity: cores now, GPUs within a quota in a window ahead, refusals with their reasons.
#include <iostream>
#include <reeve/alloc.hpp>

using namespace reeve::alloc;

namespace {

void say(std::string text) {
  if (const auto at = text.find("; "); at != text.npos) text.replace(at, 2, ";\n  ");
  std::cout << text << '\n';
}

void cores_now() {
  // [reserve]
  const auto dims = Dimensions::standard();
  const DimId cpu = dims.find(ResourceType::compute).value();
  const auto cores = [&](const char* text) {
    return Amounts::of(cpu, parse_amount(text, ResourceType::compute).value());
  };
  ReservationManager manager(dims);
  for (const char* name : {"node-1", "node-2"})
    manager
        .register_resource({.name = name,
                            .capacity = cores("100 cores"),
                            .capabilities = {{"arch", std::string("x86_64")}}})
        .value();

  Request request{
      .gang = {{.amount = cores("50 cores"), .where = {needs("arch", std::string("x86_64"))}}}};
  const auto id = manager.create_reservation("task-1", request, Strategy::balanced).value();
  manager.confirm_reservation(id).value();
  // [/reserve]
  std::cout << "task-1 got " << manager.resource(manager.find(id)->lines[0].resource).name << '\n';

  request.gang[0].amount = cores("120 cores");
  say("refused: " + manager.create_reservation("task-2", request).refusal().why());

  manager.release_reservation(id).value();
  std::cout << "audit " << (manager.audit().clean() ? "clean" : "dirty") << '\n';
}

void gpus_ahead(const reeve::Clock& clock) {
  // [window]
  using namespace std::chrono_literals;
  const auto dims = Dimensions::standard();
  const DimId gpu = dims.find(ResourceType::gpu).value();
  const auto gpus = [](const char* text) { return parse_amount(text, ResourceType::gpu).value(); };
  ReservationManager manager(dims, clock);  // without a clock: std::chrono::steady_clock
  manager.register_resource({.name = "node", .capacity = Amounts::of(gpu, gpus("8 gpus"))}).value();
  const auto team =
      manager.add_quota({.name = "team", .nominal = Limits::of(gpu, gpus("6 gpus"))}).value();

  Request night{.gang = {{.amount = Amounts::of(gpu, gpus("4 gpus"))}},
                .quota = team,
                .not_before = manager.now() + ticks(2h),
                .duration = ticks(30min)};
  const auto id = manager.create_reservation("night", night).value();
  manager.confirm_reservation(id).value();

  Request day{.gang = {{.amount = Amounts::of(gpu, gpus("6 gpus"))}}};  // now, with an open end
  const Refusal too_long = manager.create_reservation("day", day).refusal();
  say(too_long.why());
  day.duration = too_long.available;  // here: the longest that fits
  std::cout << "for " << day.duration / ticks(1s)
            << " s: " << (manager.create_reservation("day", day) ? "granted" : "refused") << '\n';
  say(manager.create_reservation("more", night).refusal().why());
  // [/window]
}

}  // namespace

int main() {
  cores_now();
  gpus_ahead(reeve::ManualClock());
}

// [output]
// task-1 got node-1
// refused: no resource is large enough in 'compute' (120 cores asked, 100 cores available at most);
//   split the demand or add a larger resource
// audit clean
// there is room, but not for long enough (open-ended asked, 7200 s available): 'night' has it next;
//   ask for at most 7200 s, or for a later start, which earliest() names if there is one
// for 7200 s: granted
// quota 'team' has too little 'gpu' left (4 gpu asked, 2 gpu available);
//   release something or raise the quota
// [/output]
