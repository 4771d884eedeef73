// Reserve capacity on two machines, be refused with a reason, and give it back.
#include <iostream>
#include <reeve/alloc.hpp>

using namespace reeve::alloc;

int main() {
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
  // [reserve]
  std::cout << "task-1 got " << manager.resource(manager.find(id)->lines[0].resource).name << '\n';

  request.gang[0].amount = cores("120 cores");
  std::cout << "refused: " << manager.create_reservation("task-2", request).refusal().why() << '\n';

  manager.release_reservation(id).value();
  std::cout << "audit " << (manager.audit().clean() ? "clean" : "dirty") << '\n';
}
