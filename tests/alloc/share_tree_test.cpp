// Dominant shares: the paper's example, and the order against a rational oracle.
#include "reeve/alloc/share_tree.hpp"

#include <numeric>

#include "tests/support/pch.hpp"

namespace reeve::alloc {
namespace {

Amounts vec(std::int64_t a, std::int64_t b) {
  Amounts v;
  v[0] = a;
  v[1] = b;
  return v;
}

// Progressive filling: gives one task at a time to whoever is behind until nobody's task fits.
std::vector<ShareId> fill(ShareTree& tree, Amounts free,
                          const std::vector<std::pair<ShareId, Amounts>>& users) {
  for (const auto& [id, demand] : users) tree.set_active(id, true);
  std::vector<ShareId> order;
  while (const auto id = tree.next()) {
    const auto& demand = std::find_if(users.begin(), users.end(), [&](const auto& u) {
                           return u.first == *id;
                         })->second;
    if (!demand.fits(free)) {
      tree.set_active(*id, false);
      continue;
    }
    free -= demand;
    tree.charge(*id, demand);
    order.push_back(*id);
  }
  return order;
}

TEST(ShareTree, ThePapersExample) {
  ShareTree tree(vec(9, 18));
  const auto a = tree.add().value();
  const auto b = tree.add().value();
  fill(tree, vec(9, 18), {{a, vec(1, 4)}, {b, vec(3, 1)}});
  EXPECT_EQ(tree.tasks(a), 3);
  EXPECT_EQ(tree.tasks(b), 2);
}

TEST(ShareTree, WeightsAndGroups) {
  ShareTree tree(vec(60, 60));
  const auto heavy = tree.add(ShareId::root, 2).value();
  const auto light = tree.add().value();
  const auto x = tree.add(heavy).value();
  const auto y = tree.add(heavy).value();
  fill(tree, vec(60, 60), {{x, vec(1, 1)}, {y, vec(1, 1)}, {light, vec(1, 1)}});
  EXPECT_EQ(tree.tasks(heavy), 40);
  EXPECT_EQ(tree.tasks(x), 20);
  EXPECT_EQ(tree.tasks(light), 20);
}

TEST(ShareTree, RefusesWeightZeroAndGroupsMadeOfUsers) {
  ShareTree tree(vec(1, 1));
  const auto user = tree.add().value();
  tree.charge(user, vec(1, 0));
  EXPECT_EQ(tree.add(user).refusal().code, Code::invalid_request);
  EXPECT_EQ(tree.add(ShareId::root, 0).refusal().code, Code::invalid_amount);
  EXPECT_EQ(tree.add(static_cast<ShareId>(77)).refusal().code, Code::invalid_request);
}

// A reduced fraction, compared by continued fractions: no product can overflow.
struct Rational {
  std::int64_t num;
  std::int64_t den;
  friend bool operator<(Rational a, Rational b) {
    for (bool flipped = false;; flipped = !flipped) {
      const auto qa = a.num / a.den, qb = b.num / b.den;
      if (qa != qb) return (qa < qb) != flipped;
      a.num -= qa * a.den;
      b.num -= qb * b.den;
      if (a.num == 0 || b.num == 0)
        return flipped ? (b.num == 0 && a.num != 0) : (a.num == 0 && b.num != 0);
      std::swap(a.num, a.den);
      std::swap(b.num, b.den);
    }
  }
};

TEST(ShareTreeOracle, TenThousandRandomInstances) {
  std::uint64_t x = 12345;
  const auto draw = [&](std::int64_t low, std::int64_t high) {
    x = x * 6364136223846793005ULL + 1442695040888963407ULL;
    return low + static_cast<std::int64_t>((x >> 33) % static_cast<std::uint64_t>(high - low + 1));
  };
  for (int instance = 0; instance < 10'000; ++instance) {
    const Amounts total = vec(draw(20, 400), draw(20, 400));
    ShareTree tree(total);
    std::vector<std::pair<ShareId, Amounts>> users;
    std::vector<std::int64_t> weights;
    for (auto n = draw(2, 6); n > 0; --n) {
      weights.push_back(draw(1, 4));
      const auto id = tree.add(ShareId::root, static_cast<std::uint32_t>(weights.back())).value();
      users.emplace_back(id, vec(draw(0, 12), draw(1, 12)));
    }
    // The oracle scans all users and compares reduced fractions.
    std::vector<std::int64_t> tasks(users.size(), 0);
    std::vector<bool> done(users.size(), false);
    std::vector<ShareId> expected;
    Amounts free = total;
    const auto share = [&](std::size_t u) {
      Rational most{0, 1};
      for (DimId d = 0; d < 2; ++d) {
        const auto num = tasks[u] * users[u].second[d], den = total[d] * weights[u],
                   g = std::gcd(num, den);
        const Rational r{num / g, den / g};
        if (most < r) most = r;
      }
      return most;
    };
    for (;;) {
      std::size_t pick = users.size();
      for (std::size_t u = 0; u < users.size(); ++u) {
        if (done[u]) continue;
        if (pick == users.size() || share(u) < share(pick) ||
            (!(share(pick) < share(u)) && tasks[u] < tasks[pick]))
          pick = u;
      }
      if (pick == users.size()) break;
      if (!users[pick].second.fits(free)) {
        done[pick] = true;
        continue;
      }
      free -= users[pick].second;
      ++tasks[pick];
      expected.push_back(users[pick].first);
    }
    ASSERT_EQ(fill(tree, total, users), expected) << "instance " << instance;
  }
}

// Dominant share / weight of an amount, exactly: in parts of 12 * total[0] * total[1], where 12 is
// a multiple of every weight.
std::int64_t parts(const Amounts& a, const Amounts& total, std::int64_t weight) {
  return std::max(a[0] * total[1], a[1] * total[0]) * (12 / weight);
}

// G6: users (or groups) of one parent that still want more differ by at most one task of the one
// that is ahead, at every moment: he was not ahead when he got it. In groups, by his largest task.
RC_GTEST_PROP(ShareTreeProperty, WhoWantsMoreIsAtMostOneTaskAhead, ()) {
  const Amounts total = vec(*rc::gen::inRange(50, 3000), *rc::gen::inRange(50, 3000));
  ShareTree tree(total);
  struct Node {
    ShareId id;
    ShareId parent;
    std::int64_t weight;
    Amounts demand{};        // of users
    std::int64_t task = 0;   // the largest below, in parts
    std::int64_t wants = 0;  // users below that still want more
  };
  std::vector<Node> groups;
  std::vector<Node> users;
  const auto add = [&](ShareId parent) {
    const auto weight = *rc::gen::inRange(1, 5);
    return Node{tree.add(parent, static_cast<std::uint32_t>(weight)).value(), parent, weight};
  };
  for (auto g = *rc::gen::inRange(1, 4); g > 0; --g) {
    groups.push_back(add(ShareId::root));
    for (auto n = *rc::gen::inRange(1, 5); n > 0; --n) {
      users.push_back(add(groups.back().id));
      auto& user = users.back();
      user.demand = vec(*rc::gen::inRange(0, 30), *rc::gen::inRange(1, 30));
      user.task = parts(user.demand, total, user.weight);
      user.wants = 1;
      auto& group = groups.back();
      group.task = std::max(group.task, parts(user.demand, total, group.weight));
      ++group.wants;
      tree.set_active(user.id, true);
    }
  }
  const auto check = [&](const std::vector<Node>& nodes) {
    for (const auto& a : nodes)
      for (const auto& b : nodes)
        if (a.parent == b.parent && a.wants > 0 && b.wants > 0)
          RC_ASSERT(parts(tree.usage(a.id), total, a.weight) -
                        parts(tree.usage(b.id), total, b.weight) <=
                    a.task);
  };
  Amounts free = total;
  while (const auto id = tree.next()) {
    auto& user = *std::find_if(users.begin(), users.end(), [&](auto& u) { return u.id == *id; });
    if (user.demand.fits(free)) {
      free -= user.demand;
      tree.charge(*id, user.demand);
    } else {
      tree.set_active(*id, false);
      user.wants = 0;
      for (auto& group : groups) group.wants -= group.id == user.parent;
    }
    check(users);
    check(groups);
  }
}

// I13, to the accuracy of one task: sharing incentive, no envy, nothing left that anybody could
// use.
RC_GTEST_PROP(ShareTreeProperty, FairInTheSenseOfThePaper, ()) {
  const Amounts total = vec(*rc::gen::inRange(2000, 9000), *rc::gen::inRange(2000, 9000));
  ShareTree tree(total);
  std::vector<std::pair<ShareId, Amounts>> users;
  for (auto n = *rc::gen::inRange(2, 6); n > 0; --n)
    users.emplace_back(tree.add().value(), vec(*rc::gen::inRange(1, 30), *rc::gen::inRange(1, 30)));
  Amounts free = total;
  for (auto id : fill(tree, total, users))
    free -=
        std::find_if(users.begin(), users.end(), [&](auto& u) { return u.first == id; })->second;
  const auto dominant = [&](const Amounts& a) {
    return std::max(double(a[0]) / double(total[0]), double(a[1]) / double(total[1]));
  };
  for (const auto& [id, demand] : users) {
    RC_ASSERT(!demand.fits(free));  // Pareto
    const double mine = dominant(tree.usage(id));
    RC_ASSERT(mine >= 1.0 / double(users.size()) - 2 * dominant(demand) - 0.05);
    for (const auto& [other, theirs] : users) {
      const auto& bundle = tree.usage(other);
      const auto could = std::min(bundle[0] / demand[0], bundle[1] / demand[1]);
      const auto one = std::max(theirs[0] / demand[0], theirs[1] / demand[1]);
      RC_ASSERT(could <= tree.tasks(id) + one + 2);  // envy, up to one task of the other
    }
  }
}

}  // namespace
}  // namespace reeve::alloc
