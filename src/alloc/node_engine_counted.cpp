// Nodes are chosen when a job starts: no backfill, or EASY, which promises a start alone.
#include "alloc/node_engine.hpp"

namespace reeve::alloc::detail {

namespace {

class Counted {
 public:
  explicit Counted(const NodeTask& task)
      : t_(task),
        first_(task.jobs, task.options.order),
        behind_(task.jobs, task.options.backfill_order),
        free_(task.nodes.capacity()) {
    for (const auto& n : free_) processors_ += n.processors;
  }

  void run() {
    const auto& jobs = t_.jobs;
    while (next_ < jobs.size() || !running_.empty()) {
      Time now = running_.empty() ? forever : running_.front().end;
      if (next_ < jobs.size()) now = std::min(now, jobs[next_].submit);
      while (!running_.empty() && running_.front().end <= now) complete();
      for (; next_ < jobs.size() && jobs[next_].submit <= now; ++next_)
        queue_.insert(std::upper_bound(queue_.begin(), queue_.end(), next_, first_), next_);
      schedule(now);
    }
  }

 private:
  void complete() {
    std::pop_heap(running_.begin(), running_.end(), later);
    const Running done = running_.back();
    running_.pop_back();
    expected_.erase(std::lower_bound(expected_.begin(), expected_.end(), done, expected_sooner));
    give_shares(free_, t_.shares[done.job]);
    for (const auto& s : t_.shares[done.job]) processors_ += s.processors;
  }

  // On the nodes in `shares`.
  void start(std::size_t j, Time now, const std::vector<NodeShare>& shares) {
    t_.shares[j] = shares;
    take_shares(free_, shares);
    for (const auto& s : shares) processors_ -= s.processors;
    t_.start(j, now, t_.jobs[j].run);
    const Running r{j, t_.outcomes[j].finish, now + t_.jobs[j].estimate};
    running_.push_back(r);
    std::push_heap(running_.begin(), running_.end(), later);
    expected_.insert(std::upper_bound(expected_.begin(), expected_.end(), r, expected_sooner), r);
  }

  bool place(std::size_t j, const FreeNodes& free, std::vector<NodeShare>* shares) const {
    return t_.nodes.place(t_.wanted[j], free, shares);
  }

  void schedule(Time now) {
    std::size_t started = 0;
    while (started < queue_.size() && t_.wanted[queue_[started]].processors <= processors_ &&
           place(queue_[started], free_, &shares_))
      start(queue_[started++], now, shares_);
    queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(started));
    if (queue_.empty() || t_.options.backfill == Backfill::none || processors_ == 0) return;
    easy(now);
    std::sort(gone_.begin(), gone_.end());
    std::erase_if(queue_,
                  [&](std::size_t j) { return std::binary_search(gone_.begin(), gone_.end(), j); });
    gone_.clear();
  }

  // When the first job can start, if nobody passes it; then_ is what is free at that time.
  Time shadow_of(std::size_t head, Time now) {
    then_ = free_;
    auto free = processors_;
    Time shadow = now;
    for (std::size_t i = 0; i < expected_.size(); ++i) {
      give_shares(then_, t_.shares[expected_[i].job]);
      for (const auto& s : t_.shares[expected_[i].job]) free += s.processors;
      shadow = std::max(now, expected_[i].expected);
      const bool more =
          i + 1 < expected_.size() && std::max(now, expected_[i + 1].expected) == shadow;
      if (!more && t_.wanted[head].processors <= free && place(head, then_, nullptr)) break;
    }
    return shadow;
  }

  void easy(Time now) {
    const auto head = queue_[0];
    const Time shadow = shadow_of(head, now);
    t_.promise(head, shadow);
    tried_.assign(queue_.begin() + 1, queue_.end());
    if (t_.options.backfill_order != t_.options.order)
      std::sort(tried_.begin(), tried_.end(), behind_);
    bool beside_known = false;
    for (auto j : tried_) {
      if (processors_ == 0) break;
      if (t_.wanted[j].processors > processors_ || !place(j, free_, &shares_)) continue;
      if (now + t_.jobs[j].estimate > shadow) {
        if (!spares(head)) {
          if (!beside_known) plan_beside(head);
          beside_known = true;
          for (std::size_t n = 0; n < free_.size(); ++n)
            both_[n] = {std::min(free_[n].memory, beside_[n].memory),
                        std::min(free_[n].processors, beside_[n].processors)};
          if (!place(j, both_, &shares_)) continue;
        }
        take_shares(then_, shares_);
        beside_known = false;
      }
      start(j, now, shares_);
      gone_.push_back(j);
    }
  }

  // Whether the first job still has a place then, if another has `shares_`.
  bool spares(std::size_t head) {
    take_shares(then_, shares_);
    const bool yes = place(head, then_, nullptr);
    give_shares(then_, shares_);
    return yes;
  }

  // What is free then beside the first job, on the nodes that it would have.
  void plan_beside(std::size_t head) {
    beside_ = then_;
    both_.resize(then_.size());
    std::vector<NodeShare> shares;
    place(head, then_, &shares);
    take_shares(beside_, shares);
  }

  const NodeTask& t_;
  Before first_;
  Before behind_;
  FreeNodes free_;
  std::int64_t processors_ = 0;  // of those
  std::size_t next_ = 0;
  std::vector<std::size_t> queue_;
  std::vector<std::size_t> tried_;
  std::vector<std::size_t> gone_;
  std::vector<Running> running_;   // heap by end
  std::vector<Running> expected_;  // sorted by expected end
  std::vector<NodeShare> shares_;
  FreeNodes then_;
  FreeNodes beside_;
  FreeNodes both_;
};

}  // namespace

void run_nodes_counted(const NodeTask& task) {
  Counted(task).run();
}

}  // namespace reeve::alloc::detail
