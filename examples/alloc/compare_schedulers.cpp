// Replays a job log under four schedulers: a table, and plots as SVG files.
//   compare_schedulers LOG.swf [FOLDER FOR PLOTS]
// Without a log it takes hpc2n.swf of REEVE_DATA_DIR, else the small trace beside this file.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <reeve/alloc.hpp>

using namespace reeve::alloc;

namespace {

std::string find_log() {
  if (const char* root = std::getenv("REEVE_DATA_DIR")) {
    auto real = std::string(root) + "/allocation/hpc2n.swf";
    if (std::filesystem::exists(real)) return real;
  }
  return REEVE_SMALL_TRACE;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string path = argc > 1 ? argv[1] : find_log();
  std::ifstream file(path);
  if (!file) {
    std::cerr << "cannot read " << path << '\n';
    return 1;
  }
  // [compare]
  auto trace = read_swf(file);
  if (!trace) {
    std::cerr << trace.refusal().why() << '\n';  // line, field and reason
    return 1;
  }
  Simulator simulator(std::move(*trace));
  simulator.run_usual().value();
  std::cout << simulator.table();
  // [/compare]
  if (argc > 2) {
    const std::filesystem::path folder = argv[2];
    const std::pair<const char*, std::string> plots[] = {
        {"utilisation.svg", simulator.utilisation_svg()},
        {"wait.svg", simulator.wait_svg()},
        {"slowdown.svg", simulator.slowdown_svg()}};
    for (const auto& [name, plot] : plots) {
      std::ofstream out(folder / name);
      if (out << plot << std::flush) continue;
      std::cerr << "cannot write " << (folder / name).string() << "; name a folder that exists\n";
      return 1;
    }
  }
}
