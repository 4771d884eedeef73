// One cycle: the policy orders, admits and places; the manager writes.
#include "reeve/alloc/resource_allocator.hpp"

#include <algorithm>

#include "alloc/idempotency.hpp"
#include "reeve/alloc/share_tree.hpp"

namespace reeve::alloc {

namespace {

bool can_mend(const Refusal& no) {
  return no.code == Code::busy || no.code == Code::quota_exceeded || no.code == Code::affinity;
}

Amounts amount_of(const Request& request) {
  Amounts sum;
  for (const auto& d : request.gang) sum.add_checked(d.amount, d.count);
  return sum;
}

Refusal not_waiting() {
  return {.code = Code::invalid_request, .subject = "no such request is waiting"};
}

}  // namespace

ResourceAllocator::ResourceAllocator(ReservationManager& manager, Policy policy,
                                     AllocatorOptions options)
    : manager_(&manager), policy_(std::move(policy)), options_(options) {}

Amounts ResourceAllocator::capacity() const {
  Amounts total;
  for (const auto& account : manager_->ledger().resources())
    if (account.open && !account.removed) total += account.capacity;
  return total;
}

const ResourceAllocator::Entry* ResourceAllocator::find(Ticket ticket) const {
  const auto at = std::lower_bound(waiting_.begin(), waiting_.end(), ticket,
                                   [](const Entry& e, Ticket t) { return e.ticket < t; });
  return at != waiting_.end() && at->ticket == ticket ? &*at : nullptr;
}

Result<Ticket> ResourceAllocator::submit(std::string_view requester, Request request) {
  const auto digest = request.key.empty() ? 0 : detail::digest_of(requester, request);
  if (const auto known = keys_.find(request.key); known != keys_.end()) {
    if (known->second.digest == digest) return known->second.ticket;
    return Refusal{.code = Code::key_conflict, .subject = request.key};
  }
  if (waiting_.size() >= options_.waiting_max)
    return Refusal{.code = Code::busy,
                   .subject = "the queue is full",
                   .asked = static_cast<std::int64_t>(waiting_.size()) + 1,
                   .available = static_cast<std::int64_t>(options_.waiting_max),
                   .detail = "try again when some were granted, or raise waiting_max"};
  if (auto ok = manager_->validate_entry(requester, request, manager_->now()); !ok)
    return ok.refusal();
  if (auto now = manager_->plan(request); !now && !can_mend(now.refusal())) return now.refusal();
  const auto ticket = static_cast<Ticket>(next_ticket_++);
  request.identity = static_cast<std::uint64_t>(ticket);
  if (!request.key.empty()) {
    keys_.emplace(request.key, Known{digest, ticket, {}});
    key_of_.emplace(ticket, std::move(request.key));
    request.key.clear();
  }
  waiting_.push_back({ticket, std::string(requester), std::move(request), manager_->now()});
  forget_keys();
  ++changes_;
  return ticket;
}

// Who waited past a window has it from now on: it was good when it came.
void ResourceAllocator::begin_now(Request& request) const {
  if (request.not_before != 0 && request.not_before <= manager_->now()) request.not_before = 0;
}

// The oldest go first; those of who waits stay.
void ResourceAllocator::forget_keys() {
  for (auto at = key_of_.begin(); keys_.size() > options_.remembered && at != key_of_.end();) {
    if (find(at->first)) {
      ++at;
      continue;
    }
    keys_.erase(at->second);
    at = key_of_.erase(at);
  }
}

Result<void> ResourceAllocator::withdraw(Ticket ticket) {
  const Entry* e = find(ticket);
  if (!e) return not_waiting();
  if (e->has_window) (void)manager_->release_reservation(e->window);
  evictions_.forget(e->request.identity);
  if (const auto key = key_of_.find(ticket); key != key_of_.end()) {
    keys_.erase(key->second);
    key_of_.erase(key);
  }
  waiting_.erase(waiting_.begin() + (e - waiting_.data()));
  ++changes_;
  return {};
}

void ResourceAllocator::forget_ended() {
  std::erase_if(running_, [&](const auto& entry) {
    const bool ended = !manager_->find(entry.first);
    if (ended) evictions_.forget(entry.second.request.identity);
    return ended;
  });
}

void ResourceAllocator::remember(Entry entry, ReservationId id) {
  if (running_.size() > 64 && running_.size() > 2 * manager_->live_count()) forget_ended();
  if (const auto key = key_of_.find(entry.ticket); key != key_of_.end())
    keys_.at(key->second).granted = id;
  running_.emplace(id, std::move(entry));
}

Result<ReservationId> ResourceAllocator::grant_by_preemption(Ticket ticket,
                                                             std::span<const ReservationId> victims,
                                                             std::span<const ReservationId> shrunk,
                                                             Strategy strategy) {
  const Entry* e = find(ticket);
  if (!e) return not_waiting();
  begin_now(waiting_[static_cast<std::size_t>(e - waiting_.data())].request);
  const std::span<const ReservationId> window(&e->window, e->has_window ? 1 : 0);
  auto id = manager_->replace(victims, e->requester, e->request, strategy, shrunk, window);
  if (!id) return id.refusal();
  if (options_.confirm) (void)manager_->confirm_reservation(*id).has_value();
  Entry taken = *e;
  taken.has_window = false;
  waiting_.erase(waiting_.begin() + (e - waiting_.data()));
  for (auto& other : waiting_)
    if (other.has_window && !manager_->find(other.window)) other.has_window = false;
  for (auto victim : victims) {
    const auto at = running_.find(victim);
    if (at == running_.end()) continue;
    evictions_.record(taken.request.identity, at->second.request.identity);
    const auto place =
        std::lower_bound(waiting_.begin(), waiting_.end(), at->second.ticket,
                         [](const Entry& entry, Ticket t) { return entry.ticket < t; });
    waiting_.insert(place, std::move(at->second));
    running_.erase(at);
  }
  ++changes_;
  remember(std::move(taken), *id);
  return id;
}

Result<void> ResourceAllocator::raise(Ticket ticket, std::int32_t by) {
  const Entry* e = find(ticket);
  if (!e) return not_waiting();
  auto& boost = waiting_[static_cast<std::size_t>(e - waiting_.data())].boost;
  if (__builtin_add_overflow(boost, by, &boost)) boost = by > 0 ? INT32_MAX : INT32_MIN;
  ++changes_;
  return {};
}

// The state of one schedule().
class ResourceAllocator::Cycle {
 public:
  explicit Cycle(ResourceAllocator& a) : a_(a), m_(*a.manager_), tree_(a.capacity()) {
    (void)m_.cleanup_expired_reservations();
    drop_windows();  // before anybody is judged by what he has
    view_ = {m_.now(), a.capacity(), {}, &m_.ledger().quotas(), &m_.dimensions()};
    done_.assign(a.waiting_.size(), 0);
    for (std::size_t i = 0; i < a.waiting_.size(); ++i) add(i);
    view_.users = users_;
  }

  CycleReport run() {
    if (a_.policy_.shares) {
      by_share();
    } else {
      auto all = order_of(0, pending_.size());
      serve(all, 0);
    }
    finish();
    return std::move(report_);
  }

 private:
  void add(std::size_t i) {
    const Entry& e = a_.waiting_[i];
    auto [at, fresh] = user_ids_.try_emplace(e.requester, users_.size());
    if (fresh) users_.push_back(view_of(at->first));
    std::int32_t priority = 0;
    if (__builtin_add_overflow(e.request.priority, e.boost, &priority))
      priority = e.boost > 0 ? INT32_MAX : INT32_MIN;
    pending_.push_back({static_cast<std::uint64_t>(e.ticket),
                        static_cast<std::uint32_t>(at->second), priority, e.submitted,
                        e.request.duration, e.request.quota, amount_of(e.request)});
  }

  UserView view_of(const std::string& name) const {
    UserView user{.name = name};
    if (const auto owner = m_.find_owner(name)) {
      const auto& owners = m_.ledger().owners();
      if (*owner < owners.size()) user.usage = owners[*owner].held + owners[*owner].committed;
      user.tasks = m_.live_of(*owner);
    }
    return user;
  }

  bool before(std::size_t a, std::size_t b) const {
    const auto& x = pending_[a];
    const auto& y = pending_[b];
    if (a_.policy_.order)
      if (const auto o = a_.policy_.order(view_, x, y); o != 0) return o < 0;
    return x.ticket < y.ticket;
  }

  std::vector<std::size_t> order_of(std::size_t first, std::size_t last) const {
    std::vector<std::size_t> all;
    for (auto i = first; i < last; ++i) all.push_back(i);
    std::sort(all.begin(), all.end(), [&](auto x, auto y) { return before(x, y); });
    return all;
  }

  // Windows of the last cycle are made anew: rebuild, not compress.
  void drop_windows() {
    for (auto& e : a_.waiting_) {
      if (!e.has_window) continue;
      (void)m_.release_reservation(e.window);
      e.has_window = false;
    }
  }

  enum class Outcome : std::uint8_t { granted, refused };

  Outcome attempt(std::size_t i) {
    Entry& e = a_.waiting_[i];
    const auto& p = pending_[i];
    if (a_.policy_.admit) {
      if (auto ok = a_.policy_.admit(view_, p); !ok) return refuse(i, ok.refusal());
    }
    a_.begin_now(e.request);
    auto id = m_.create_reservation(e.requester, e.request, a_.policy_.placement);
    if (!id) return refuse(i, id.refusal());
    if (a_.options_.confirm) (void)m_.confirm_reservation(*id);
    const Reservation* made = m_.find(*id);
    if (!made)
      return refuse(i, {.code = Code::wrong_state, .subject = "ended before it was confirmed"});
    Amounts got;
    for (const auto& line : made->lines) got += line.amount;
    users_[p.user].usage += got;
    ++users_[p.user].tasks;
    charged_ = got;
    done_[i] = 1;
    report_.granted.push_back({e.ticket, *id, view_.now - e.submitted});
    return Outcome::granted;
  }

  Outcome refuse(std::size_t i, Refusal why) {
    Entry& e = a_.waiting_[i];
    // A gang that must lie apart is refused by its spread where too few resources are free.
    const bool may_fit_later = why.code == Code::busy || why.code == Code::affinity;
    if (a_.options_.rule == QueueRule::reserve && windows_ < a_.options_.depth && may_fit_later)
      why.earliest = book(e);
    report_.waiting.push_back({e.ticket, std::move(why), false});
    done_[i] = 2;
    return Outcome::refused;
  }

  std::optional<Time> book(Entry& e) {
    // Who does not fit when all that ends has ended may never fit; a few of those are searched for.
    Request last = e.request;
    last.not_before = forever / 2;
    if (!m_.plan(last) && ++vain_ > vain_max) return std::nullopt;
    const auto at = m_.earliest(e.request);
    if (!at) return std::nullopt;
    Request ahead = e.request;
    ahead.not_before = *at;
    auto id = m_.create_reservation(e.requester, ahead, a_.policy_.placement);
    if (!id) return std::nullopt;
    (void)m_.confirm_reservation(*id);
    e.window = *id;
    e.has_window = true;
    ++windows_;
    return *at;
  }

  // Serves `queue` from `from` on; returns the position after the first grant in turn mode.
  std::size_t serve(const std::vector<std::size_t>& queue, std::size_t from, bool turns = false) {
    for (auto k = from; k < queue.size(); ++k) {
      const auto outcome = attempt(queue[k]);
      if (outcome == Outcome::granted && turns) return k + 1;
      if (outcome == Outcome::refused && a_.options_.rule == QueueRule::strict) {
        for (auto rest = k + 1; rest < queue.size(); ++rest) {
          done_[queue[rest]] = 2;
          report_.waiting.push_back(
              {a_.waiting_[queue[rest]].ticket, report_.waiting.back().why, true});
        }
        return queue.size();
      }
    }
    return queue.size();
  }

  ShareId place_of(const std::string& name, bool group) {
    auto& known = group ? groups_ : leaves_;
    if (const auto at = known.find(name); at != known.end()) return at->second;
    const auto& spec = *a_.policy_.shares;
    const auto above = spec.group_of.find(name);
    const auto parent =
        above == spec.group_of.end() ? ShareId::root : place_of(above->second, true);
    const auto weight = spec.weights.find(name);
    const auto id = tree_.add(parent, weight == spec.weights.end() ? 1 : weight->second).value();
    known.emplace(name, id);
    return id;
  }

  void by_share() {
    Amounts total = view_.total;
    const auto& only = a_.policy_.shares->shared;
    for (DimId d = 0; d < max_dims; ++d)
      if (!only.empty() && std::find(only.begin(), only.end(), d) == only.end()) total[d] = 0;
    tree_ = ShareTree(total);
    std::vector<ShareId> leaf;
    std::map<ShareId, std::size_t> user_of;
    for (std::size_t u = 0; u < users_.size(); ++u) {
      leaf.push_back(place_of(std::string(users_[u].name), false));
      user_of.emplace(leaf.back(), u);
      tree_.charge(leaf.back(), users_[u].usage, static_cast<std::int32_t>(users_[u].tasks));
    }
    // Requesters that hold something and want nothing count in their groups.
    for (const auto& [name, group] : a_.policy_.shares->group_of) {
      if (user_ids_.contains(name) || !m_.find_owner(name)) continue;
      const auto view = view_of(name);
      if (!groups_.contains(name))
        tree_.charge(place_of(name, false), view.usage, static_cast<std::int32_t>(view.tasks));
    }
    std::vector<std::vector<std::size_t>> queues(users_.size());
    for (auto i : order_of(0, pending_.size())) queues[pending_[i].user].push_back(i);
    std::vector<std::size_t> at(users_.size(), 0);
    for (std::size_t u = 0; u < users_.size(); ++u) tree_.set_active(leaf[u], !queues[u].empty());
    while (const auto next = tree_.next()) {
      const auto u = user_of.at(*next);
      const auto granted = report_.granted.size();
      at[u] = serve(queues[u], at[u], true);
      if (report_.granted.size() > granted) tree_.charge(*next, charged_);
      if (at[u] == queues[u].size()) tree_.set_active(*next, false);
    }
  }

  void finish() {
    std::size_t kept = 0;
    std::map<Ticket, ReservationId> got;
    for (const auto& g : report_.granted) got.emplace(g.ticket, g.reservation);
    for (std::size_t i = 0; i < a_.waiting_.size(); ++i) {
      if (done_[i] == 1) {
        const auto id = got.at(a_.waiting_[i].ticket);
        a_.remember(std::move(a_.waiting_[i]), id);
        continue;
      }
      if (kept != i) a_.waiting_[kept] = std::move(a_.waiting_[i]);
      ++kept;
    }
    if (kept != a_.waiting_.size()) ++a_.changes_;
    a_.waiting_.resize(kept);
  }

  ResourceAllocator& a_;
  ReservationManager& m_;
  ShareTree tree_;
  QueueView view_;
  std::vector<UserView> users_;
  std::map<std::string, std::size_t> user_ids_;
  std::vector<Pending> pending_;
  std::vector<char> done_;  // 1 granted, 2 waits
  std::map<std::string, ShareId> leaves_;
  std::map<std::string, ShareId> groups_;
  Amounts charged_;
  std::size_t windows_ = 0;
  static constexpr int vain_max = 4;
  int vain_ = 0;
  CycleReport report_;
};

CycleReport ResourceAllocator::schedule() {
  return Cycle(*this).run();
}

Result<ReservationId> ResourceAllocator::allocate(std::string_view requester,
                                                  const Request& request) {
  const auto last = next_ticket_;
  auto ticket = submit(requester, request);
  if (!ticket) return ticket.refusal();
  if (!find(*ticket)) return keys_.at(request.key).granted;
  auto report = schedule();
  for (const auto& g : report.granted)
    if (g.ticket == *ticket) return g.reservation;
  if (next_ticket_ != last) (void)withdraw(*ticket);
  for (auto& w : report.waiting)
    if (w.ticket == *ticket && !w.behind_other) return std::move(w.why);
  return Refusal{.code = Code::invalid_request, .subject = "others that wait go first"};
}

}  // namespace reeve::alloc
