// A run as a flat file of the machine's own integers: it is read where it was written.
#include "tests/tasks/support/power_log.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <fstream>
#include <stdexcept>

namespace reeve::tasks::testing {
namespace {

namespace fs = std::filesystem;

class Writer {
 public:
  explicit Writer(const fs::path& file) : out_(file, std::ios::binary) {}
  void number(std::uint64_t n) { out_.write(reinterpret_cast<const char*>(&n), sizeof n); }
  template <class Range>
  void bytes(const Range& r) {
    number(r.size());
    out_.write(reinterpret_cast<const char*>(r.data()), static_cast<std::streamsize>(r.size()));
  }

 private:
  std::ofstream out_;
};

class Reader {
 public:
  explicit Reader(const fs::path& file) : in_(file, std::ios::binary) {
    if (!in_) throw std::runtime_error("there is no saved run at " + file.string());
    in_.exceptions(std::ios::failbit | std::ios::badbit);
  }
  std::uint64_t number() {
    std::uint64_t n = 0;
    in_.read(reinterpret_cast<char*>(&n), sizeof n);
    return n;
  }
  template <class Range>
  Range bytes() {
    Range r(number(), {});
    in_.read(reinterpret_cast<char*>(r.data()), static_cast<std::streamsize>(r.size()));
    return r;
  }

 private:
  std::ifstream in_;
};

}  // namespace

void save_run(const fs::path& file, const History& run, unsigned seed, int random_states) {
  Writer out(file);
  out.number(seed);
  out.number(static_cast<std::uint64_t>(random_states));
  out.number(run.ops.size());
  for (const DiskOp& op : run.ops) {
    out.number(static_cast<std::uint64_t>(op.kind));
    out.bytes(op.file);
    out.number(op.offset);
    out.bytes(op.bytes);
  }
  out.number(run.acks.size());
  for (const Acknowledgement& ack : run.acks) {
    out.number(ack.ops);
    out.bytes(ack.id);
    out.number(ack.revision);
    out.number(ack.deleted ? 1 : 0);
  }
  out.number(run.releases.size());
  for (const Release& release : run.releases) {
    out.number(release.ops);
    out.bytes(release.id);
    out.number(release.revision);
  }
  out.number(run.versions.size());
  for (const auto& [revision, json] : run.versions) {
    out.number(revision);
    out.bytes(json);
  }
}

SavedRun load_run(const fs::path& file) {
  Reader in(file);
  SavedRun saved;
  saved.seed = static_cast<unsigned>(in.number());
  saved.random_states = static_cast<int>(in.number());
  for (auto n = in.number(); n != 0; --n) {
    DiskOp op;
    op.kind = static_cast<DiskOp::Kind>(in.number());
    op.file = in.bytes<std::string>();
    op.offset = in.number();
    op.bytes = in.bytes<Bytes>();
    saved.run.ops.push_back(std::move(op));
  }
  for (auto n = in.number(); n != 0; --n) {
    Acknowledgement ack;
    ack.ops = in.number();
    ack.id = in.bytes<std::string>();
    ack.revision = in.number();
    ack.deleted = in.number() != 0;
    saved.run.acks.push_back(std::move(ack));
  }
  for (auto n = in.number(); n != 0; --n) {
    Release release;
    release.ops = in.number();
    release.id = in.bytes<std::string>();
    release.revision = in.number();
    saved.run.releases.push_back(std::move(release));
  }
  for (auto n = in.number(); n != 0; --n) {
    const auto revision = in.number();
    saved.run.versions[revision] = in.bytes<std::string>();
  }
  return saved;
}

Findings explore_and_keep(const History& run, unsigned seed, int random_states) {
  Findings f = explore(run, seed, random_states);
  if (f.first.empty()) return f;
  const fs::path at =
      fs::temp_directory_path() / fmt::format("reeve-power-cut-{}-{}", ::getpid(), seed);
  fs::create_directories(at);
  save_run(at / "run", run, seed, random_states);
  for (const auto& [name, content] : f.first_state) {
    std::ofstream out(at / fs::path(name).filename(), std::ios::binary);
    out.write(reinterpret_cast<const char*>(content->data()),
              static_cast<std::streamsize>(content->size()));
  }
  f.first += fmt::format(
      " (seed {}; the run and the files of this state are in {}; to examine all of it again: "
      "REEVE_POWER_CUT_RUN={} with --gtest_filter=PowerCut.FindsNothingInASavedRun)",
      seed, at.string(), (at / "run").string());
  return f;
}

}  // namespace reeve::tasks::testing
