// Replays a log whose jobs ask for nodes, memory and properties under three schedulers.
//   replay_on_nodes LOG.swf MACHINE.txt
#include <cstdio>
#include <fstream>
#include <iostream>
#include <reeve/alloc.hpp>

using namespace reeve::alloc;

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  std::ifstream log(argv[1]);
  std::ifstream description(argv[2]);
  // [nodes]
  auto machine = read_machine(description);
  auto trace = read_swf(log, swf_with_specs());
  if (!machine || !trace) {
    std::cerr << (machine ? trace.refusal() : machine.refusal()).why() << '\n';
    return 1;
  }
  const SimulatorOptions fcfs{.backfill = Backfill::none};
  const SimulatorOptions easy;
  const SimulatorOptions conservative{.backfill = Backfill::conservative,
                                      .placement = Placement::identified,
                                      .replan = Replan::compress};
  for (const auto& rule : {fcfs, easy, conservative}) {
    const auto ran =
        simulate_on_nodes(trace->jobs, trace->requests, *machine, rule, Unrunnable::list).value();
    std::printf("wait %6.0f s  slowdown %6.2f  used %4.1f %%  never: %zu\n", ran.replay.mean_wait,
                ran.replay.mean_bounded_slowdown, 100 * ran.replay.utilisation, ran.refused.size());
  }
  // [/nodes]
  for (std::size_t i = 0; i < trace->jobs.size(); ++i) {
    const auto possible = can_run(trace->requests[i], *machine);
    if (possible) continue;
    const auto why = possible.refusal().why();
    std::cout << "job " << trace->jobs[i].id << ": " << why.substr(0, why.find(';')) << '\n';
  }
}

// [output]
// wait   9268 s  slowdown  15.10  used 39.5 %  never: 2
// wait   1856 s  slowdown   3.20  used 54.7 %  never: 2
// wait   1582 s  slowdown   3.07  used 56.6 %  never: 2
// job 23: no resource is large enough in 'nodes' (12 asked, 10 available at most)
// job 57: no resource satisfies the constraint on 'gpu'
// [/output]
