// Tempered SMC from its beginning to its end, and with a file that survives a kill.
#include <reeve/base/error.hpp>
#include <reeve/mcmc/atomic_file.hpp>
#include <reeve/mcmc/smc.hpp>

#include <cstdio>
#include <fstream>
#include <iterator>

namespace reeve::mcmc {

SmcResult sample_smc(const Density& density, const SmcOptions& options, const StopWhen& stop) {
  SmcSampler sampler(density, options);
  sampler.advance(stop);
  return sampler.result();
}

SmcResult sample_smc_resumable(const Density& density, const SmcOptions& options,
                               const std::string& path, const StopWhen& stop, std::size_t every) {
  if (every == 0) throw ConfigError("every is 0; write a checkpoint every 1 or more sweeps");
  SmcSampler sampler(density, options);
  if (std::ifstream file(path, std::ios::binary); file) {
    const std::string bytes{std::istreambuf_iterator<char>(file), {}};
    sampler = SmcSampler::resume(density, bytes);
  }
  while (!sampler.advance(stop, every)) {
    replace_file(path, sampler.checkpoint());
    if (sampler.stopped() != Status::ok) return sampler.result();
  }
  SmcResult result = sampler.result();
  std::remove(path.c_str());
  return result;
}

}  // namespace reeve::mcmc
