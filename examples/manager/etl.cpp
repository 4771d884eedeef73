// Extract, transform, load: each stage has the workers that suit it, batch after batch.
#include <cstdio>
#include <future>
#include <reeve/manager.hpp>
#include <sstream>
#include <string>
#include <vector>

using reeve::ExecutorType;

struct Row {
  std::string city;
  double celsius = 0;
};

Row parse(const std::string& line) {  // may be fed anything: process workers
  std::istringstream text(line);
  Row row;
  if (!(text >> row.city >> row.celsius)) throw std::invalid_argument("no row: " + line);
  return row;
}
Row convert(Row row) {
  row.celsius = (row.celsius - 32) / 1.8;
  return row;
}
double sum(const std::vector<Row>& rows) {  // trusted and short: a thread
  double total = 0;
  for (const Row& row : rows) total += row.celsius;
  return total;
}

// [stages]
double run_batch(reeve::PoolManager& manager, const std::vector<std::string>& lines) {
  const auto extract = manager.get_pool(2);  // the second batch finds all three
  const auto transform = manager.get_pool(3);
  const auto load = manager.get_pool(1, ExecutorType::thread);
  const std::vector<Row> rows = extract.map<&parse>(lines, 2);
  const std::vector<Row> converted = transform.map<&convert>(rows);
  return load.submit<&sum>(converted).get();
}
// [/stages]

int main(int argc, char** argv) {
  reeve::init(argc, argv);
  reeve::PoolManager manager;
  const std::vector<std::string> lines{"Oslo 41", "Rome 68", "Cairo 95", "Lima 66.2"};
  for (int batch = 1; batch <= 3; ++batch) {
    std::printf("batch %d: %.1f\n", batch, run_batch(manager, lines));
  }
  std::vector<std::string> broken = lines;
  broken[2] = "Cairo";
  try {
    run_batch(manager, broken);
  } catch (const std::invalid_argument& error) {
    std::printf("%s\n", error.what());
  }
  std::printf("pools made: %llu\n", static_cast<unsigned long long>(manager.stats().creations));
}
// [output]
// batch 1: 79.0
// batch 2: 79.0
// batch 3: 79.0
// no row: Cairo
// pools made: 3
// [/output]
