// The drain carries each event once and in order; JSON lines come back as they went in.
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <reeve/audit/sink.hpp>
#include <reeve/base/error.hpp>

namespace reeve::audit {
namespace {

struct Collect final : Sink {
  std::vector<Event> events;
  std::uint64_t lost_count = 0;
  void write(const Event& event) noexcept override { events.push_back(event); }
  void lost(std::uint64_t count) noexcept override { lost_count += count; }
};

class TemporaryFile {
 public:
  TemporaryFile() {
    std::string name = (std::filesystem::temp_directory_path() / "reeve-audit-XXXXXX").string();
    const int fd = ::mkstemp(name.data());
    if (fd >= 0) ::close(fd);
    path = name;
  }
  ~TemporaryFile() { std::filesystem::remove(path); }
  std::filesystem::path path;
};

Event full_event() {
  Event e;
  e.sequence = 7;
  e.monotonic_ns = 12;
  e.wall_ns = 1'700'000'000'000'000'001;
  e.lease = 18'446'744'073'709'551'615u;
  e.limit = 1 << 20;
  e.observed = 2 << 20;
  e.peak_bytes = 3 << 20;
  e.elapsed_ns = -5;
  e.worker = 3;
  e.incarnation = 9;
  e.pid = 4711;
  e.exit_status = 0;
  e.signal = 9;
  e.kind = EventKind::death;
  e.cause = Cause::memory;
  e.task = "study \"1\"\n\t\\\x7f";
  e.device = "cuda:0";
  return e;
}

TEST(AuditDrain, CarriesEachEventOnceInOrder) {
  Ring ring(256);
  Drain drain(ring);
  drain.run();
  auto sink = std::make_shared<Collect>();
  drain.add(sink);
  for (int i = 0; i < 200; ++i) ring.push(Event{});
  drain.run();
  drain.run();
  ASSERT_EQ(sink->events.size(), 200u);
  for (std::size_t i = 0; i < 200; ++i) EXPECT_EQ(sink->events[i].sequence, i + 1);
  EXPECT_EQ(drain.lost(), 0u);
}

TEST(AuditDrain, CountsWhatItCameTooLateFor) {
  Ring ring(4);
  Drain drain(ring);
  auto sink = std::make_shared<Collect>();
  drain.add(sink);
  for (int i = 0; i < 10; ++i) ring.push(Event{});
  drain.run();
  EXPECT_EQ(sink->events.size(), 4u);
  EXPECT_EQ(sink->lost_count, 6u);
  EXPECT_EQ(drain.lost(), 6u);
}

TEST(AuditDrain, OverlappingRunsLeaveNothingBehind) {
  Ring ring(1 << 15);
  Drain drain(ring);
  auto sink = std::make_shared<Collect>();
  drain.add(sink);
  std::mutex pool_lock;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 2'000; ++i) {
        {
          const std::lock_guard lock(pool_lock);
          ring.push(Event{});
        }
        drain.run();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  ASSERT_EQ(sink->events.size(), 8'000u);
  for (std::size_t i = 0; i < 8'000; ++i) ASSERT_EQ(sink->events[i].sequence, i + 1);
}

TEST(AuditDrain, AFunctionThatThrowsDoesNotEndThePool) {
  FunctionSink sink([](const Event&) { throw std::runtime_error("x"); });
  sink.write(Event{});
}

TEST(AuditJsonl, FieldOrderIsFixed) {
  EXPECT_EQ(
      to_jsonl(full_event()),
      R"({"seq":7,"mono_ns":12,"wall_ns":1700000000000000001,"event":"death",)"
      R"("cause":"memory","lease":18446744073709551615,)"
      R"("task":"study \"1\"\u000a\u0009\\\u007f","task_cut":false,"worker":3,)"
      R"("incarnation":9,"device":"cuda:0","device_cut":false,"pid":4711,"limit":1048576,)"
      R"("observed":2097152,"peak_bytes":3145728,"elapsed_ns":-5,"signal":9,"exit_status":0})");
}

TEST(AuditJsonl, ReadsBackWhatItWrote) {
  Event other;
  other.task = std::string(100, 'x');
  const auto events = parse_jsonl(to_jsonl(full_event()) + "\n\n" + to_jsonl(other) + "\r\n");
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0], full_event());
  EXPECT_EQ(events[1], other);
  EXPECT_EQ(events[1].worker, no_worker);
  EXPECT_TRUE(events[1].task.truncated());
}

TEST(AuditJsonl, InvalidUtf8BecomesTheReplacementCharacter) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"\xff", "\xef\xbf\xbd"},
      {"\xc3", "\xef\xbf\xbd"},
      {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},                  // overlong
      {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},  // surrogate
      {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
      {"a\xe2\x82z", "a\xef\xbf\xbd\xef\xbf\xbdz"},
      {"\xe2\x82\xac\xf0\x9f\x98\x80\xc3\xa9", "\xe2\x82\xac\xf0\x9f\x98\x80\xc3\xa9"},
  };
  for (const auto& [given, expected] : cases) {
    Event event;
    event.task = given;
    EXPECT_EQ(parse_jsonl(to_jsonl(event)).at(0).task.view(), expected);
  }
}

TEST(AuditJsonl, UnderstandsEscapesOfOthersAndIgnoresUnknownFields) {
  const auto events = parse_jsonl(
      R"( { "extra" : "y" , "event":"grant", "task":"\u00e9\ud83d\ude00\/\b", "seq" : 3 } )");
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].kind, EventKind::grant);
  EXPECT_EQ(events[0].sequence, 3u);
  EXPECT_EQ(events[0].task.view(), "\xc3\xa9\xf0\x9f\x98\x80/\b");
}

TEST(AuditJsonl, NamesTheLineThatIsWrong) {
  for (const char* bad :
       {"{", "{}", "x", R"({"event":"nope"})", R"({"event":"grant","seq":-1})",
        R"({"event":"grant","signal":256})", R"({"event":"grant"} x)", R"({"event":"gr)",
        R"({"event":"grant","task":"\ud800"})", R"({"event":"grant","task":"\q"})",
        R"({"event":"grant","task":"\u12"})", R"({"event":"grant","a":[1]})",
        R"({"event":"grant","seq":1.5})", R"({"event":"grant","seq":})"}) {
    try {
      parse_jsonl(std::string("\n") + bad);
      ADD_FAILURE() << bad;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), ::testing::StartsWith("line 2 of the audit trail: ")) << bad;
    }
  }
}

RC_GTEST_PROP(AuditJsonlProperty, AnyBytesGiveALineThatReadsBack, (const std::string& bytes)) {
  Event event;
  event.task = bytes;
  event.device = bytes;
  const std::string line = to_jsonl(event);
  RC_ASSERT(line.find('\n') == std::string::npos);
  const Event once = parse_jsonl(line).at(0);
  RC_ASSERT(parse_jsonl(to_jsonl(once)).at(0) == once);
}

RC_GTEST_PROP(AuditJsonlProperty, ArbitraryTextNeverBreaksTheReader, (const std::string& text)) {
  try {
    parse_jsonl("{\"event\":\"grant\"," + text);
    parse_jsonl(text);
  } catch (const Error&) {
  }
}

TEST(AuditJsonlSink, WritesFlushesAndAppends) {
  const TemporaryFile file;
  Event event = full_event();
  {
    JsonlSink sink({.path = file.path, .queue_line_count_max = 16});
    for (std::uint64_t i = 1; i <= 1'000; ++i) {
      event.sequence = i;
      sink.write(event);
    }
    sink.flush();
    EXPECT_EQ(read_jsonl(file.path).size(), 1'000u);
    event.sequence = 1'001;
    sink.write(event);
    EXPECT_EQ(sink.dropped() + sink.failed(), 0u);
  }
  const auto events = read_jsonl(file.path);
  ASSERT_EQ(events.size(), 1'001u);
  for (std::size_t i = 0; i < events.size(); ++i) EXPECT_EQ(events[i].sequence, i + 1);
  EXPECT_EQ(events.back(), event);
  {
    JsonlSink again({.path = file.path});
  }
  EXPECT_EQ(read_jsonl(file.path).size(), 1'001u);
  {
    JsonlSink fresh({.path = file.path, .append = false});
  }
  EXPECT_TRUE(read_jsonl(file.path).empty());
}

TEST(AuditJsonlSink, DropsTheOldestAndCountsThem) {
  const TemporaryFile file;
  JsonlSink sink({.path = file.path,
                  .queue_line_count_max = 4,
                  .overflow = Overflow::drop_oldest,
                  .append = false});
  Event event;
  for (std::uint64_t i = 1; i <= 20'000; ++i) {
    event.sequence = i;
    sink.write(event);
  }
  sink.flush();
  const auto events = read_jsonl(file.path);
  EXPECT_EQ(events.size() + sink.dropped(), 20'000u);
  ASSERT_FALSE(events.empty());
  EXPECT_EQ(events.back().sequence, 20'000u);
}

TEST(AuditJsonlSink, RefusesWhatCannotWork) {
  EXPECT_THROW(JsonlSink({.path = "/nonexistent/reeve/audit.jsonl"}), SystemError);
  const TemporaryFile file;
  EXPECT_THROW(JsonlSink({.path = file.path, .queue_line_count_max = 0}), ConfigError);
  EXPECT_THROW(read_jsonl("/nonexistent/reeve"), SystemError);
}

TEST(AuditJsonlSink, CountsLinesThatADiskRefuses) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "/dev/full is missing here";
  JsonlSink sink({.path = "/dev/full"});
  sink.write(Event{});
  sink.flush();
  EXPECT_GT(sink.failed(), 0u);
}

}  // namespace
}  // namespace reeve::audit
