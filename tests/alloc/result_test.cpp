// What a refusal says: the value, the limit in its unit, and what to do.
#include "reeve/alloc/result.hpp"

#include "reeve/alloc/resource_allocator.hpp"
#include "tests/support/pch.hpp"

namespace reeve::alloc {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

constexpr DimId cpu = 0;
constexpr DimId gpu = 4;

Request gpus(std::int64_t n, Time not_before = 0, Time duration = forever) {
  return {.gang = {{.amount = Amounts::of(gpu, n * 1000)}},
          .not_before = not_before,
          .duration = duration};
}

// `index_from`: the same texts whether an index finds the place or a look at each.
struct Node : testing::TestWithParam<std::size_t> {
  Node() {
    clock.advance(std::chrono::hours(3));
    EXPECT_TRUE(manager.register_resource({.name = "node", .capacity = Amounts::of(gpu, 8000)}));
  }
  template <class... Arguments>
  Refusal refuse(Arguments&&... arguments) {
    auto made = manager.create_reservation(std::forward<Arguments>(arguments)...);
    EXPECT_FALSE(made);
    return made ? Refusal{} : made.refusal();
  }
  void book(const char* who, std::int64_t n, Time in, Time length) {
    const auto id = manager.create_reservation(who, gpus(n, manager.now() + in, length)).value();
    ASSERT_TRUE(manager.confirm_reservation(id));
  }

  ManualClock clock;
  ReservationManager manager{Dimensions::standard(), clock, {.index_from = GetParam()}};
};
INSTANTIATE_TEST_SUITE_P(Placement, Node, testing::Values(0u, 100u));

TEST_P(Node, AnOpenEndThatMeetsABookingLearnsWhoseAndHowLongItMayBe) {
  book("night", 6, ticks(1h), ticks(2h));
  const auto no = refuse("day", gpus(4));
  EXPECT_EQ(no.code, Code::busy);
  EXPECT_EQ(no.subject, "time");
  EXPECT_EQ(no.asked, forever);
  EXPECT_EQ(no.available, ticks(1h));
  EXPECT_EQ(no.why(),
            "there is room, but not for long enough (open-ended asked, 3600 s available): "
            "'night' has it next; ask for at most 3600 s, or for a later start, which earliest() "
            "names if there is one");
  EXPECT_EQ(refuse("day", gpus(4, 0, ticks(1h) + 1)).available, ticks(1h));
  EXPECT_TRUE(manager.create_reservation("day", gpus(4, 0, no.available)));
}

TEST_P(Node, TheLongestTimeIsThatOfTheBestResource) {
  ASSERT_TRUE(manager.register_resource({.name = "other", .capacity = Amounts::of(gpu, 8000)}));
  book("one", 8, ticks(1h), ticks(1h));
  book("two", 8, ticks(90min), ticks(3h));
  const auto no = refuse("day", gpus(8));
  EXPECT_EQ(no.available, ticks(90min));
  EXPECT_EQ(no.detail, "two");
}

TEST_P(Node, AWindowAheadIsNotNow) {
  book("night", 2, ticks(1h), ticks(2h));
  const auto no = refuse("x", gpus(8, manager.now() + ticks(90min), ticks(1h)));
  EXPECT_EQ(no.code, Code::busy);
  EXPECT_EQ(no.subject, "gpu");
  EXPECT_EQ(no.asked, 8000);
  EXPECT_EQ(no.available, 6000);
  EXPECT_EQ(no.ahead, ticks(90min));
  EXPECT_EQ(no.why(),
            "too little 'gpu' is free at the start of the window, 5400 s from now (8 gpu asked, 6 "
            "gpu available); ask for less, or for another start, which earliest() names");
  const auto later = refuse("x", gpus(8, manager.now() + ticks(30min), ticks(1h)));
  EXPECT_EQ(later.available, ticks(30min));
  EXPECT_THAT(later.why(), HasSubstr("(3600 s asked, 1800 s available in a window that begins "
                                     "1800 s from now): 'night' has it next"));
}

TEST_P(Node, CapacityIsPrintedWithItsUnit) {
  EXPECT_EQ(refuse("x", gpus(9)).why(),
            "no resource is large enough in 'gpu' (9 gpu asked, 8 gpu available at most); split "
            "the demand or add a larger resource");
  ASSERT_TRUE(manager.create_reservation("y", gpus(6)));
  EXPECT_EQ(refuse("x", gpus(3)).why(),
            "too little 'gpu' is free now (3 gpu asked, 2 gpu available); wait or ask for less");
}

TEST_P(Node, AQuotaNamesTheDimension) {
  const auto team = manager.add_quota({.name = "team", .nominal = Limits::of(gpu, 2500)}).value();
  auto request = gpus(3);
  request.quota = team;
  EXPECT_EQ(refuse("x", request).why(),
            "quota 'team' has too little 'gpu' left (3 gpu asked, 2.5 gpu available); release "
            "something or raise the quota");
  ResourceAllocator queue(manager, Policy(QuotaPolicy()));
  ASSERT_TRUE(queue.submit("x", request));
  const auto report = queue.schedule();
  EXPECT_THAT(report.waiting.at(0).why.why(), HasSubstr("(3 gpu asked, 2.5 gpu available)"));
}

TEST_P(Node, AnUnknownQuotaIsNamedByItsId) {
  ASSERT_TRUE(manager.add_quota({.name = "q"}));
  auto request = gpus(1);
  request.quota = QuotaId{7};
  const char* text =
      "there is no quota node #7 (1 were added, from #0 on); use an id that "
      "add_quota() returned";
  EXPECT_EQ(refuse("x", request).why(), text);
  EXPECT_EQ(manager.add_quota({.name = "x", .parent = QuotaId{7}}).refusal().why(), text);
  EXPECT_EQ(manager.move_quota(QuotaId{0}, QuotaId{7}).refusal().why(), text);
  EXPECT_EQ(manager.move_quota(QuotaId{7}, QuotaId{0}).refusal().why(), text);
  ResourceAllocator strict(manager, Policy(QuotaPolicy(true)));
  ASSERT_TRUE(strict.submit("x", gpus(1)));
  EXPECT_THAT(strict.schedule().waiting.at(0).why.why(), HasSubstr("set Request::quota"));
}

TEST_P(Node, AmountsThatAreNoneSayWhichAndWhatIsAllowed) {
  EXPECT_EQ(refuse("x", gpus(-2)).why(),
            "the amount 'gpu' of demand #0 of the gang is -2 gpu; give 0 or more");
  EXPECT_EQ(refuse("x", gpus(0)).why(),
            "the amount 'demand #0' is 0 in every dimension; give more than 0 in one of them");
  auto shrinks = gpus(2);
  shrinks.gang[0].least = Amounts::of(gpu, 3000);
  EXPECT_EQ(refuse("x", shrinks).why(),
            "the amount 'gpu' of demand #0 of the gang may shrink to 3 gpu; Demand::least is 0 to "
            "2 gpu");
  EXPECT_EQ(manager.register_resource({.name = "zero", .capacity = {}}).refusal().why(),
            "the amount 'capacity of zero' is 0 in every dimension; give more than 0 in one of "
            "them");
  EXPECT_EQ(
      manager.register_resource({.name = "m", .capacity = Amounts::of(cpu, -1500)}).refusal().why(),
      "the amount 'capacity of m' is -1.5 cores in 'compute'; give 0 or more");
  EXPECT_EQ(
      manager.add_quota({.name = "y", .borrow = Limits::of(gpu, -1000)}).refusal().why(),
      "the amount 'y' has a borrow of -1 gpu in 'gpu'; give 0 or more, or leave it unlimited");
  EXPECT_THAT(QuotaTree().add({.name = "y", .lend = Limits::of(gpu, -1000)}).refusal().why(),
              HasSubstr("has a lend of -1000 in dimension #4"));
}

TEST_P(Node, NamesAreNotEmpty) {
  const auto code = [](const auto& result) { return result.refusal().code; };
  EXPECT_EQ(refuse("", gpus(1)).code, Code::invalid_request);
  EXPECT_EQ(refuse("", gpus(1)).why(),
            "the request is not usable: the requester has no name; give one");
  EXPECT_EQ(code(manager.replace({}, "", gpus(1))), Code::invalid_request);
  EXPECT_EQ(code(manager.register_resource({.name = "", .capacity = Amounts::of(gpu, 1)})),
            Code::invalid_request);
  EXPECT_EQ(code(manager.add_quota({.name = ""})), Code::invalid_request);
  ResourceAllocator queue(manager, fifo());
  EXPECT_EQ(code(queue.submit("", gpus(1))), Code::invalid_request);
  Dimensions dims;
  EXPECT_EQ(code(dims.add("", ResourceType::gpu)), Code::invalid_request);
}

TEST_P(Node, AWindowThatIsOverIsRefused) {
  const Time hour_ago = manager.now() - ticks(1h);
  const auto no = refuse("x", gpus(1, hour_ago, ticks(60s)));
  EXPECT_EQ(no.code, Code::invalid_request);
  EXPECT_EQ(no.why(),
            "the request is not usable: its window of 60 s ended 3540 s ago; not_before is in ns "
            "of the manager's clock, so now() + ticks(1h) is in one hour, and 0 is at once");
  // Seconds of the calendar, taken for ns.
  EXPECT_EQ(refuse("x", gpus(1, 1'790'000'000 + 3600, 30)).code, Code::invalid_request);
  EXPECT_EQ(refuse("x", gpus(1, hour_ago, ticks(1h))).code, Code::invalid_request);  // half-open
  EXPECT_EQ(manager.replace({}, "x", gpus(1, hour_ago, 1)).refusal().code, Code::invalid_request);
  EXPECT_TRUE(manager.create_reservation("x", gpus(1, hour_ago, ticks(1h) + 1)));
  EXPECT_TRUE(manager.create_reservation("x", gpus(1, hour_ago)));
  EXPECT_TRUE(manager.create_reservation("x", gpus(1, 0, 1)));
  EXPECT_TRUE(manager.audit().clean());
}

TEST_P(Node, WhoWaitedPastAWindowIsGrantedAllTheSame) {
  ResourceAllocator queue(manager, fifo());
  EXPECT_EQ(queue.submit("late", gpus(1, manager.now() - 60, 30)).refusal().code,
            Code::invalid_request);
  const auto all = manager.create_reservation("before", gpus(8)).value();
  ASSERT_TRUE(manager.confirm_reservation(all));
  const auto ticket = queue.submit("x", gpus(8, manager.now() + 10, 30)).value();
  clock.advance(1h);
  EXPECT_EQ(queue.schedule().waiting.at(0).why.code, Code::busy);
  ASSERT_TRUE(manager.release_reservation(all));
  EXPECT_EQ(queue.schedule().granted.at(0).ticket, ticket);
}

TEST_P(Node, AnExtensionLearnsHowMuchIsLeft) {
  const auto id = manager.create_reservation("x", gpus(4, 0, ticks(1h))).value();
  ASSERT_TRUE(manager.confirm_reservation(id));
  book("night", 6, ticks(90min), ticks(1h));
  const auto no = manager.extend_reservation(id, ticks(1h)).refusal();
  EXPECT_EQ(no.code, Code::busy);
  EXPECT_EQ(no.asked, ticks(1h));
  EXPECT_EQ(no.available, ticks(30min));
  EXPECT_THAT(no.why(), HasSubstr("(3600 s asked, 1800 s available)"));
  EXPECT_TRUE(manager.extend_reservation(id, no.available));
}

TEST_P(Node, AFullQueueSaysHowMany) {
  ResourceAllocator queue(manager, fifo(), {.waiting_max = 1});
  ASSERT_TRUE(queue.submit("a", gpus(1)));
  EXPECT_EQ(queue.submit("b", gpus(1)).refusal().why(),
            "the queue is full (2 asked, 1 available); try again when some were granted, or raise "
            "waiting_max");
}

TEST_P(Node, GivenBackTooMuchIsPrintedWithItsUnit) {
  const auto id = manager.create_reservation("x", gpus(2)).value();
  const Line line[] = {{ResourceId{0}, Amounts::of(gpu, 3000), {}}};
  EXPECT_EQ(manager.release_reservation(id, line).refusal().why(),
            "more 'gpu' of 'node' given back than is held (3 gpu given, 2 gpu held); give back at "
            "most that");
}

TEST(ResultTexts, AmountsAsWritten) {
  const auto why = [](const char* text) {
    return parse_amount(text, ResourceType::gpu).refusal().why();
  };
  EXPECT_EQ(why("0 gpus"),
            "the amount '0 gpus' is not greater than 0; amounts of gpu are in gpus, gpu or "
            "milligpus, such as '2 gpus'");
  EXPECT_THAT(why("two gpus"), HasSubstr("'two gpus' does not begin with a positive decimal"));
  EXPECT_EQ(why("4"),
            "a unit is missing in '4'; amounts of gpu are in gpus, gpu or milligpus, such as '2 "
            "gpus'");
  EXPECT_THAT(why("4 GPUs"), HasSubstr("the unit 'GPUs' is unknown in '4 GPUs'; amounts of gpu"));
  EXPECT_THAT(why("0.0001 gpu"), HasSubstr("is not a whole number of milligpus"));
  EXPECT_THAT(to_canonical({-1, "gpu"}, ResourceType::gpu).refusal().why(),
              HasSubstr("'-1 gpu' is not greater than 0"));
  for (const char* text : {"0 gpus", "two gpus"})
    EXPECT_THAT(why(text), Not(HasSubstr("whole number")));
  Dimensions dims = Dimensions::standard();
  ASSERT_TRUE(dims.add("eighth", ResourceType::custom));
  EXPECT_EQ(dims.add("x", ResourceType::gpu).refusal().why(),
            "'x' would be a ninth dimension; there are at most 8");
}

TEST(ResultTexts, FiguresWithTheirUnits) {
  EXPECT_EQ(to_text(1500, Counted::milligpus), "1.5 gpu");
  EXPECT_EQ(to_text(-1, Counted::millicores), "-0.001 cores");
  EXPECT_EQ(to_text(50'000'000'000, Counted::bytes), "50 GB");
  EXPECT_EQ(to_text(3 << 20, Counted::bytes), "3 MiB");
  EXPECT_EQ(to_text(1001, Counted::bytes), "1001 B");
  EXPECT_EQ(to_text(10'000'000, Counted::bits_per_second), "10 Mbit/s");
  EXPECT_EQ(to_text(1, Counted::items), "1 item");
  EXPECT_EQ(to_text(ticks(1500ms), Counted::nanoseconds), "1.5 s");
  EXPECT_EQ(to_text(30, Counted::nanoseconds), "30 ns");
  EXPECT_EQ(to_text(forever, Counted::nanoseconds), "open-ended");
  EXPECT_EQ(to_text(INT64_MIN, Counted::millicores), "-9223372036854775.808 cores");
  EXPECT_EQ(to_text(-7, Counted::number), "-7");
  EXPECT_STREQ(to_string(Counted::milligpus), "milligpus");
}

}  // namespace
}  // namespace reeve::alloc
