# Runs diagnostics.R where R's posterior and loo are installed: their values are the stored ones.
# Variables: RSCRIPT, SOURCE (this folder), WORK (where to write).
execute_process(COMMAND ${RSCRIPT} -e "v <- function(p) if (requireNamespace(p, quietly = TRUE)) \
as.character(packageVersion(p)) else 'none'; cat(v('posterior'), v('loo'))"
                OUTPUT_VARIABLE versions RESULT_VARIABLE failed)
if(failed OR NOT versions MATCHES "^1\\.4\\..* 2\\.5\\.")
  message("skipped: the values are of posterior 1.4 and loo 2.5 (r-cran-posterior, r-cran-loo of Debian 12); "
          "this machine has ${versions}")
  return()
endif()
file(MAKE_DIRECTORY ${WORK})
execute_process(COMMAND ${RSCRIPT} ${SOURCE}/diagnostics.R WORKING_DIRECTORY ${WORK} RESULT_VARIABLE failed
                ERROR_QUIET)
if(failed)
  message(FATAL_ERROR "diagnostics.R failed: ${failed}")
endif()
# Equal to 1e-10: another libm may round differently.
set(compare [[
numbers <- function(f) { text <- grep('^(CASE|LOO)', readLines(f), value = TRUE)
  suppressWarnings(as.numeric(unlist(strsplit(gsub('[A-Z]+\\(|\\)', '', text), ', ')))) }
a <- commandArgs(TRUE); x <- numbers(a[1]); y <- numbers(a[2])
stopifnot(length(x) == length(y), length(x) > 200, identical(is.na(x), is.na(y)))
worst <- max(abs(x - y) / pmax(abs(y), 1e-12), na.rm = TRUE)
cat(length(x), 'values, largest relative difference', worst, '\n')
stopifnot(worst < 1e-10)
]])
file(WRITE ${WORK}/compare.R "${compare}")
execute_process(COMMAND ${RSCRIPT} ${WORK}/compare.R ${WORK}/diagnostics_reference.inc
                        ${SOURCE}/diagnostics_reference.inc RESULT_VARIABLE failed)
if(failed)
  message(FATAL_ERROR "R's posterior and loo no longer give the stored values")
endif()
