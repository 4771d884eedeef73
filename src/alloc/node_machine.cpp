// Machines of nodes: names, checks, and the text that describes them.
#include "reeve/alloc/node_machine.hpp"

#include <numeric>
#include <set>

#include "alloc/words.hpp"
#include "reeve/alloc/quantity.hpp"

namespace reeve::alloc {

namespace {

using detail::next_word;
using detail::whole_number;

constexpr std::int64_t most = 1'000'000;  // nodes, and processors of one

Refusal malformed(std::size_t line, int field, std::string_view what, std::string_view reason) {
  std::string text = "line " + std::to_string(line) + ", field " + std::to_string(field);
  text.append(" (").append(what).append("): ").append(reason);
  return {.code = Code::malformed, .subject = std::move(text)};
}

Result<std::int32_t> count_in(std::string_view word, std::size_t line, int field,
                              std::string_view what) {
  const auto n = whole_number(word);
  if (!n || *n < 1 || *n > most)
    return malformed(line, field, what,
                     std::string("not a whole number from 1 to 1000000: ").append(word));
  return static_cast<std::int32_t>(*n);
}

Result<NodeGroup> group_in(std::string_view rest, std::size_t line) {
  NodeGroup group{.name = std::string(next_word(rest))};
  const auto count = count_in(next_word(rest), line, 2, "nodes");
  if (!count) return count.refusal();
  const auto processors = count_in(next_word(rest), line, 3, "processors");
  if (!processors) return processors.refusal();
  group.count = *count;
  group.processors = *processors;
  const auto memory = next_word(rest);
  if (memory != "-") {
    const auto bytes = parse_amount(memory, ResourceType::memory);
    if (!bytes || *bytes == uncounted)
      return malformed(line, 4, "memory",
                       std::string("not an amount like 64GiB, nor -: ").append(memory));
    group.memory = *bytes;
  }
  int field = 5;
  for (auto word = next_word(rest); !word.empty(); word = next_word(rest), ++field) {
    if (word[0] == '#' || word[0] == ';') break;
    const auto sign = word.find('=');
    const auto key = word.substr(0, sign);
    CapValue value = true;
    if (sign != std::string_view::npos) {
      const auto text = word.substr(sign + 1);
      if (text.empty()) return malformed(line, field, "property", "a key without a value");
      if (const auto n = whole_number(text)) {
        value = *n;
      } else {
        value = std::string(text);
      }
    }
    if (key.empty()) return malformed(line, field, "property", "a value without a key");
    if (!group.properties.emplace(std::string(key), std::move(value)).second)
      return malformed(line, field, "property", std::string("named twice: ").append(key));
  }
  return group;
}

}  // namespace

std::int32_t NodeMachine::nodes() const {
  return std::accumulate(groups.begin(), groups.end(), 0,
                         [](std::int32_t n, const NodeGroup& g) { return n + g.count; });
}

std::int64_t NodeMachine::processors() const {
  std::int64_t sum = 0;
  for (const auto& g : groups) sum += std::int64_t{g.count} * g.processors;
  return sum;
}

std::string NodeMachine::node_name(std::int32_t node) const {
  auto g = groups.begin();
  for (; node >= g->count; ++g) node -= g->count;
  const auto at = g->name.find('#');
  if (at == std::string::npos) return g->count == 1 ? g->name : g->name + std::to_string(node + 1);
  std::string name = g->name;
  return name.replace(at, 1, std::to_string(node + 1));
}

Result<void> validate(const NodeMachine& machine) {
  std::int64_t nodes = 0;
  std::set<std::string_view> names;
  for (const auto& g : machine.groups) {
    if (g.count <= 0 || g.processors <= 0 || g.memory <= 0)
      return Refusal{.code = Code::invalid_amount, .subject = g.name};
    if (!names.insert(g.name).second) return Refusal{.code = Code::duplicate, .subject = g.name};
    nodes += g.count;
    if (nodes > most || g.processors > most)
      return Refusal{.code = Code::invalid_request,
                     .subject = "at most 1000000 nodes, and processors of one"};
  }
  if (nodes == 0)
    return Refusal{.code = Code::invalid_request, .subject = "a machine needs a node"};
  return {};
}

Result<NodeMachine> read_machine(std::istream& in) {
  NodeMachine machine;
  std::string line;
  for (std::size_t number = 1; std::getline(in, line); ++number) {
    std::string_view rest = line;
    rest.remove_prefix(std::min(rest.find_first_not_of(" \t\r"), rest.size()));
    if (rest.empty() || rest[0] == '#' || rest[0] == ';') continue;
    auto group = group_in(rest, number);
    if (!group) return group.refusal();
    machine.groups.push_back(std::move(*group));
  }
  if (auto ok = validate(machine); !ok) return ok.refusal();
  return machine;
}

}  // namespace reeve::alloc
