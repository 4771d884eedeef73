// Everything of reeve::inference.
#pragma once

#include <reeve/inference/causal_link.hpp>
#include <reeve/inference/engine.hpp>
#include <reeve/inference/infer.hpp>
#include <reeve/inference/mechanism.hpp>
#include <reeve/inference/options.hpp>
#include <reeve/inference/result.hpp>
#include <reeve/inference/table.hpp>
