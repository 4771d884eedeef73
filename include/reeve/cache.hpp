// Models that are loaded once: everything of reeve::cache.
#pragma once

#include <reeve/cache/model_cache.hpp>
