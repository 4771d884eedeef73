// The global manager: parts of a program share pools without knowing of each other, and no one ends
// them.
#include <cstdio>
#include <reeve/manager.hpp>
#include <string>
#include <vector>

int count_vowels(const std::string& word) {
  int count = 0;
  for (const char c : word) count += std::string("aeiou").find(c) != std::string::npos;
  return count;
}
double mean_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

// [parts]
int text_part() {  // somewhere in the program
  const std::vector<std::string> words{"worker", "pool", "manager"};
  int total = 0;
  for (const int n : reeve::global_pool_manager().get_pool(2).map<&count_vowels>(words)) total += n;
  return total;
}

double number_part() {  // somewhere else: the same two workers
  const std::vector<double> values{1, 2, 3, 4};
  return reeve::global_pool_manager().get_pool(2).submit<&mean_of>(values).get();
}

int own_part() {  // wants workers that nobody else uses
  reeve::GetOptions options;
  options.label = "own part";
  const std::string word = "iteration";
  return reeve::global_pool_manager()
      .get_pool(2, reeve::ExecutorType::process, options)
      .submit<&count_vowels>(word)
      .get();
}
// [/parts]

int main(int argc, char** argv) {
  reeve::init(argc, argv);
  std::printf("vowels: %d\n", text_part());
  std::printf("mean: %.1f\n", number_part());
  std::printf("vowels by workers of its own: %d\n", own_part());
  std::printf("pools: %zu\n", reeve::global_pool_manager().stats().active_pools);
}  // nothing to end: the workers go with the program
// [output]
// vowels: 7
// mean: 2.5
// vowels by workers of its own: 5
// pools: 2
// [/output]
