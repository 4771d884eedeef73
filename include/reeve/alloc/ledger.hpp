// The exact ledger: the only writer of amounts, with a journal that can be replayed.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "reeve/alloc/model.hpp"

namespace reeve::alloc {

/// Which account of a resource or owner an amount sits in.
enum class Column : std::uint8_t { booked, held, committed };

/// One change. Replaying all entries in order gives the balances again.
struct JournalEntry {
  enum class Kind : std::uint8_t { add_resource, set_capacity, set_open, remove_resource, post };
  std::uint64_t sequence = 0;
  Time at = 0;
  Kind kind = Kind::post;
  Column column = Column::held;
  std::uint32_t resource = 0;
  std::uint32_t owner = 0;
  QuotaId quota = QuotaId::none;
  ReservationId reservation{};
  Amounts amounts;  ///< delta of a post; capacity of add_resource and set_capacity; [0] of set_open
};

/// "17 120 post held r3 o1 q- 5.2 1000,0,0,0,0,0,0,0": the same bytes on every compiler.
std::string to_text(const JournalEntry&);

/// Receives every entry in order. It must not call the ledger.
using Journal = std::function<void(const JournalEntry&)>;

/// The three accounts of a resource or an owner.
struct Balance {
  Amounts booked;     ///< reserved for later
  Amounts held;       ///< not confirmed
  Amounts committed;  ///< confirmed
  Amounts& of(Column c) {
    return c == Column::booked ? booked : c == Column::held ? held : committed;
  }
  friend bool operator==(const Balance&, const Balance&) = default;
};

/// Accounts of resources, owners and quotas. Every posting changes all of them together.
///
/// Threads: one writer.
class Ledger {
 public:
  struct Account {
    Amounts capacity;
    Balance balance;
    bool open = true;  ///< false: draining
    bool removed = false;
    /// Negative after a shrink: the debt.
    Amounts free() const { return capacity - balance.held - balance.committed; }
    friend bool operator==(const Account&, const Account&) = default;
  };

  void set_journal(Journal journal) { journal_ = std::move(journal); }

  std::uint32_t add_resource(const Amounts& capacity, Time at);
  void set_capacity(std::uint32_t resource, const Amounts& capacity, Time at);
  void set_open(std::uint32_t resource, bool open, Time at);
  void remove_resource(std::uint32_t resource, Time at);

  /// Preconditions: the resource exists; owner ids are dense.
  void post(ReservationId reservation, std::uint32_t resource, std::uint32_t owner, QuotaId quota,
            Column column, const Amounts& delta, Time at);

  const std::vector<Account>& resources() const noexcept { return resources_; }
  const std::vector<Balance>& owners() const noexcept { return owners_; }
  QuotaTree& quotas() noexcept { return quotas_; }
  const QuotaTree& quotas() const noexcept { return quotas_; }
  std::uint64_t length() const noexcept { return length_; }

  /// Applies one entry of another ledger's journal. Quota nodes must exist already.
  void replay(const JournalEntry&);

  /// Resources and owners have the same balances, and quotas the same usage.
  bool same_balances(const Ledger& other) const;

 private:
  void append(JournalEntry entry);

  std::vector<Account> resources_;
  std::vector<Balance> owners_;
  QuotaTree quotas_;
  Journal journal_;
  std::uint64_t length_ = 0;
};

}  // namespace reeve::alloc
