// Stan CSV, zarr v2 and summary JSON.
#include <reeve/base/error.hpp>
#include <reeve/mcmc/output.hpp>

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>

namespace reeve::mcmc {
namespace {

std::string number(double x) {
  return std::isfinite(x) ? fmt::format("{:.17g}", x) : "null";
}

std::string in_quotes(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20)
      out += fmt::format("\\u{:04x}", static_cast<int>(c));
    else
      out += c;
  }
  return out + '"';
}

struct Array {
  std::string name;
  std::vector<std::size_t> shape;
  std::vector<std::string> dimensions;
  std::vector<double> values;
  std::string type = "<f8";  ///< <f8, <i8 or |b1
};

std::string bytes_of(const Array& a) {
  std::string bytes;
  for (const double v : a.values) {
    if (a.type == "|b1") {
      bytes.push_back(v != 0 ? 1 : 0);
      continue;
    }
    std::uint64_t word = a.type == "<i8" ? static_cast<std::uint64_t>(static_cast<std::int64_t>(v))
                                         : std::bit_cast<std::uint64_t>(v);
    for (int i = 0; i < 8; ++i, word >>= 8) bytes.push_back(static_cast<char>(word & 0xff));
  }
  return bytes;
}

// One chunk, no compressor: a plain file that any zarr reader takes.
void write_array(const std::filesystem::path& group, const Array& a) {
  std::string shape, key, dimensions;
  for (std::size_t i = 0; i < a.shape.size(); ++i) {
    shape += fmt::format("{}{}", i ? ", " : "", a.shape[i]);
    key += i ? ".0" : "0";
    dimensions += fmt::format("{}{}", i ? ", " : "", in_quotes(a.dimensions[i]));
  }
  const std::string fill = a.type == "<f8" ? "\"NaN\"" : a.type == "|b1" ? "false" : "0";
  write_file(
      group / a.name / ".zarray",
      fmt::format(
          "{{\"zarr_format\": 2, \"shape\": [{0}], \"chunks\": [{0}], \"dtype\": \"{1}\", "
          "\"compressor\": null, \"fill_value\": {2}, \"order\": \"C\", \"filters\": null}}\n",
          shape, a.type, fill));
  write_file(group / a.name / ".zattrs",
             fmt::format("{{\"_ARRAY_DIMENSIONS\": [{}]}}\n", dimensions));
  write_file(group / a.name / key, bytes_of(a));
}

void write_group(const std::filesystem::path& path, const std::vector<Array>& arrays) {
  write_file(path / ".zgroup", "{\"zarr_format\": 2}\n");
  write_file(path / ".zattrs", "{\"inference_library\": \"reeve\"}\n");
  for (const auto& a : arrays) write_array(path, a);
}

std::vector<Array> coordinates(const Run& run) {
  Array chain{"chain", {run.chains().size()}, {"chain"}, {}, "<i8"},
      draw{"draw", {run.draws()}, {"draw"}, {}, "<i8"};
  for (std::size_t c = 0; c < run.chains().size(); ++c) chain.values.push_back(double(c));
  for (std::size_t i = 0; i < run.draws(); ++i) draw.values.push_back(double(i));
  return {chain, draw};
}

// The density's own, or one for each name that the run is shown under.
std::vector<ParameterBlock> blocks_of(const Run& run) {
  const Parameters& own = run.density().parameters();
  const auto names = run.names();
  if (names == own.names()) return own.blocks();
  Parameters shown;
  for (const auto& name : names) shown.real(name);
  return shown.blocks();
}

}  // namespace

void write_file(const std::filesystem::path& path, const std::string& text) {
  std::error_code ignored;
  if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path(), ignored);
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(text.data(), static_cast<std::streamsize>(text.size()));
  file.close();
  if (!file)
    throw Error("cannot write " + path.string() +
                "; check the folder, its permissions and the disk");
}

std::string stan_csv(const Run& run, std::size_t chain) {
  std::string out = fmt::format(
      "# model = {}\n# method = sample (Default)\n#   sample\n#     num_samples = {}\n#     "
      "num_warmup = {}\n"
      "#     save_warmup = 0\n#     thin = 1\n#     adapt\n#       engaged = 1\n#     algorithm = "
      "hmc (Default)\n"
      "#       hmc\n#         engine = {}\n#           {}\n#             max_depth = {}\n#         "
      "metric = {}\n"
      "# id = {}\n# random\n#   seed = {}\n",
      run.model, run.draws(), run.warmup, run.algorithm, run.algorithm, run.max_depth,
      run.inverse_metric.empty() || run.inverse_metric[0].size() == run.density().dimension()
          ? "diag_e"
          : "dense_e",
      chain + 1, run.seed);
  out += "lp__,accept_stat__,stepsize__,treedepth__,n_leapfrog__,divergent__,energy__";
  for (const auto& name : run.names()) out += fmt::format(",{}", name);
  out += '\n';
  if (chain < run.inverse_metric.size()) {
    const auto& m = run.inverse_metric[chain];
    const std::size_t d = run.density().dimension();
    const bool dense = m.size() == d * d && d > 1;
    out += fmt::format(
        "# Adaptation terminated\n# Step size = {:.17g}\n# {} of inverse mass matrix:\n",
        run.stepsize[chain], dense ? "Elements" : "Diagonal elements");
    for (std::size_t i = 0; i < m.size(); ++i)
      out +=
          fmt::format("{}{:.17g}{}", i % d == 0 ? "# " : ", ", m[i], (i + 1) % d == 0 ? "\n" : "");
  }
  for (std::size_t i = 0; i < run.draws(); ++i) {
    const DrawStats& s = run.chains()[chain].stats[i];
    fmt::format_to(std::back_inserter(out), "{:.17g},{:.17g},{:.17g},{},{},{},{:.17g}", s.lp,
                   s.accept_stat, s.stepsize, s.treedepth, s.n_leapfrog, s.divergent ? 1 : 0,
                   s.energy);
    for (std::size_t p = 0; p < run.size(); ++p)
      fmt::format_to(std::back_inserter(out), ",{:.17g}", run.values(p)[chain][i]);
    out += '\n';
  }
  return out;
}

std::vector<std::filesystem::path> write_stan_csv(const Run& run,
                                                  const std::filesystem::path& folder,
                                                  const std::string& name) {
  std::vector<std::filesystem::path> paths;
  for (std::size_t c = 0; c < run.chains().size(); ++c) {
    paths.push_back(folder / fmt::format("{}-{}.csv", name, c + 1));
    write_file(paths.back(), stan_csv(run, c));
  }
  return paths;
}

void write_inference_data(const Run& run, const std::filesystem::path& path) {
  const std::size_t chains = run.chains().size(), draws = run.draws();
  write_group(path, {});
  std::vector<Array> posterior = coordinates(run);
  std::size_t at = 0;
  for (const auto& b : blocks_of(run)) {
    Array a{b.name, {chains, draws}, {"chain", "draw"}, {}};
    if (!b.scalar) {
      a.shape.push_back(b.constrained);
      a.dimensions.push_back(b.name + "_dim_0");
    }
    for (std::size_t c = 0; c < chains; ++c)
      for (std::size_t i = 0; i < draws; ++i)
        for (std::size_t k = 0; k < b.constrained; ++k)
          a.values.push_back(run.values(at + k)[c][i]);
    posterior.push_back(std::move(a));
    at += b.constrained;
  }
  write_group(path / "posterior", posterior);
  std::vector<Array> stats = coordinates(run);
  const auto add = [&](const char* name, const char* type, auto field) {
    Array a{name, {chains, draws}, {"chain", "draw"}, {}, type};
    for (const auto& chain : run.chains())
      for (std::size_t i = 0; i < draws; ++i) a.values.push_back(double(field(chain.stats[i])));
    stats.push_back(std::move(a));
  };
  add("lp", "<f8", [](const DrawStats& s) { return s.lp; });
  add("acceptance_rate", "<f8", [](const DrawStats& s) { return s.accept_stat; });
  add("step_size", "<f8", [](const DrawStats& s) { return s.stepsize; });
  add("energy", "<f8", [](const DrawStats& s) { return s.energy; });
  add("tree_depth", "<i8", [](const DrawStats& s) { return s.treedepth; });
  add("n_steps", "<i8", [](const DrawStats& s) { return s.n_leapfrog; });
  add("diverging", "|b1", [](const DrawStats& s) { return s.divergent; });
  write_group(path / "sample_stats", stats);
}

std::string summary_json(const Run& run) {
  const Diagnostics& d = run.diagnostics();
  std::string out = fmt::format(
      "{{\n  \"status\": \"{}\",\n  \"algorithm\": {},\n  \"seed\": {},\n  \"chains\": {},\n"
      "  \"draws_per_chain\": {},\n  \"warmup\": {},\n  \"reasons\": [",
      to_string(d.status), in_quotes(run.algorithm), run.seed, run.chains().size(), run.draws(),
      run.warmup);
  for (std::size_t i = 0; i < d.reasons.size(); ++i)
    out += fmt::format("{}{}", i ? ", " : "", in_quotes(d.reasons[i]));
  out += fmt::format(
      "],\n  \"divergences\": {},\n  \"max_depth_hits\": {},\n  \"leapfrogs\": {},\n  "
      "\"warmup_leapfrogs\": {},\n"
      "  \"max_rhat\": {},\n  \"min_ess_bulk\": {},\n  \"min_ess_tail\": {},\n  \"min_e_bfmi\": "
      "{},\n"
      "  \"parameters\": [",
      d.divergences, d.max_depth_hits, d.leapfrogs, run.warmup_leapfrogs, number(d.max_rhat),
      number(d.min_ess_bulk), number(d.min_ess_tail), number(d.min_e_bfmi));
  bool first = true;
  for (const auto& p : run.summary()) {
    out += fmt::format(
        "{}\n    {{\"name\": {}, \"mean\": {}, \"sd\": {}, \"mcse\": {}, \"q5\": {}, \"q50\": {}, "
        "\"q95\": {}, "
        "\"rhat\": {}, \"ess_bulk\": {}, \"ess_tail\": {}}}",
        first ? "" : ",", in_quotes(p.name), number(p.mean), number(p.sd), number(p.mcse),
        number(p.q5), number(p.q50), number(p.q95), number(p.rhat), number(p.ess_bulk),
        number(p.ess_tail));
    first = false;
  }
  return out + "\n  ]\n}\n";
}

}  // namespace reeve::mcmc
