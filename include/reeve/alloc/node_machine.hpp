// A machine of nodes with processors, memory and properties, and what jobs ask of them.
#pragma once

#include <cstdint>
#include <istream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "reeve/alloc/capability.hpp"

namespace reeve::alloc {

/// Memory of a node of which nobody keeps count.
inline constexpr std::int64_t uncounted = INT64_MAX;

/// `count` equal nodes.
struct NodeGroup {
  /// Its nodes are called after it: `#` stands for their number from 1 on, which is appended where
  /// there is none and the group has several.
  std::string name;
  std::int32_t count = 1;
  std::int32_t processors = 1;      ///< of each node
  std::int64_t memory = uncounted;  ///< bytes of each node
  /// Every node has, beside these and where no key of them is the same, its group's name (without
  /// `#`), its own name, and `host` = its own name.
  Capabilities properties{};
};

/// Nodes are numbered from 0, group after group. Where two have one name (the first of `n#` and a
/// group `n1`), that name means either.
struct NodeMachine {
  std::vector<NodeGroup> groups;

  std::int32_t nodes() const;
  std::int64_t processors() const;
  /// Preconditions: 0 <= node < nodes().
  std::string node_name(std::int32_t node) const;
};

/// Errors: invalid_request (no node; more than 1,000,000 of them, or of processors of one),
///         invalid_amount (a group without nodes, processors or memory), duplicate (group name).
Result<void> validate(const NodeMachine& machine);

/// Reads one group a line:
///
///     # name   nodes  processors  memory  properties
///     thin#    1000   16          64GiB   infiniband rack=3
///     fat      2      80          1TiB    gpu=4 os=debian
///
/// Memory is a number with a unit, or `-` where it is not counted. A property is a name, or a name
/// with a whole number or a word. `#` and `;` begin comments where a word would begin.
///
/// Errors: malformed, naming line number, field and reason; those of validate().
Result<NodeMachine> read_machine(std::istream& in);

/// `count` equal pieces of a job.
struct NodePart {
  std::int32_t count = 1;
  std::int32_t processors = 1;  ///< of each piece
  std::int64_t memory = 0;      ///< bytes of each piece
  std::vector<Constraint> where{};

  friend bool operator==(const NodePart&, const NodePart&) = default;
};

/// What a job asks of nodes: all of it, all the time.
struct NodeRequest {
  std::vector<NodePart> parts;
  /// Every piece has a node of its own. Otherwise pieces lie together where they fit, which takes
  /// one part only.
  bool apart = true;
  /// No other job is on those nodes. Takes `apart`.
  bool alone = false;

  std::int64_t processors() const;
  friend bool operator==(const NodeRequest&, const NodeRequest&) = default;
};

/// At most this many different parts: places for unequal ones are found exactly, at a cost that
/// doubles with each.
inline constexpr std::size_t node_parts_max = 4;

/// `size` processors wherever they are, with memory for each.
NodeRequest anywhere(std::int32_t size, std::int64_t memory_per_processor = 0);

/// `size` processors on as few nodes as it takes at `per_node` each; the last may get fewer.
/// Preconditions: size, per_node > 0.
NodeRequest on_nodes(std::int32_t size, std::int32_t per_node,
                     std::int64_t memory_per_processor = 0);

/// Reads a node specification as batch systems of the PBS family log it:
///
///     nodes[:ppn=P][:ncpus=P][:mem=SIZE][:property][:^property][:key=value]...[+ more][#excl]
///
/// `2:ppn=8:infiniband:^old+1:ppn=4#excl` is two nodes with 8 processors each, which have
/// `infiniband` and have no `old`, and one with 4, none shared with other jobs. A first word that
/// is no number names a node. A fraction of a processor counts as one. `mem` is of each node, in b,
/// kb, mb, gb or tb, which are powers of 1,024. A key with a whole number asks for at least it.
///
/// Errors: malformed, with the word and the reason.
Result<NodeRequest> parse_node_spec(std::string_view text);

/// Whether `request` fits on the empty machine.
/// Errors: invalid_request, invalid_amount and invalid_constraint (it has no meaning);
///         unmet_constraint (no node has the property); infeasible, where `subject` is what binds:
///         "processors" or "memory" of one node, "nodes" that can take a piece, or "pieces" (of
///         different parts that get in each other's way, or lie together).
Result<void> can_run(const NodeRequest& request, const NodeMachine& machine);

}  // namespace reeve::alloc
