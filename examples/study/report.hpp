// What the demo leaves behind: draws, summaries, pictures and one HTML page.
#pragma once

#include <filesystem>
#include <reeve/inference.hpp>
#include <string>
#include <vector>

#include "checks.hpp"
#include "table.hpp"

namespace study {

/// Writes into `folder`, for each link: draws as Stan CSV, `summary.json` and SVG plots, all in the
/// data's units; and `report.html`, which needs no other file and no network: what was asked and
/// found, every table with a glossary, the pictures, the checks. Returns the number of files.
///
/// Errors: reeve::Error when something cannot be written.
std::size_t write_report(const std::filesystem::path& folder,
                         const std::vector<reeve::inference::InferenceResult>& results,
                         const Table& bootstrap, int resamples,
                         const std::vector<std::string>& notes, const CheckList& checks);

}  // namespace study
