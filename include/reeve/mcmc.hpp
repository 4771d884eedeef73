// Everything of reeve::mcmc.
#pragma once

#include <reeve/mcmc/atomic_file.hpp>
#include <reeve/mcmc/compare.hpp>
#include <reeve/mcmc/density.hpp>
#include <reeve/mcmc/diagnostics.hpp>
#include <reeve/mcmc/glm.hpp>
#include <reeve/mcmc/importance.hpp>
#include <reeve/mcmc/observations.hpp>
#include <reeve/mcmc/output.hpp>
#include <reeve/mcmc/sampler.hpp>
#include <reeve/mcmc/sbc.hpp>
#include <reeve/mcmc/smc.hpp>
