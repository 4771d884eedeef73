# Prints the reference figures of cases.cpp: least squares estimates, their standard errors, and 95 % percentile intervals
# of 10,000 case resamples. Run from the top of the repository: Rscript examples/study/reference.R
read <- function(name) read.csv(file.path("examples/data", name))
puromycin <- read("puromycin.csv"); dnase <- subset(read("dnase.csv"), Run == 1); bod <- read("bod.csv")
cars <- read("cars.csv"); loblolly <- read("loblolly.csv")
null_pair <- data.frame(speed = cars$speed, dist = cars$dist[(19 * (0:49) + 11) %% 50 + 1])

figures <- function(name, data, fit, resamples = 10000) {
  point <- coef(summary(fit(data)))
  draws <- matrix(NA, resamples, nrow(point))
  set.seed(20240229)
  for (i in seq_len(resamples)) {
    estimate <- tryCatch(coef(fit(data[sample(nrow(data), replace = TRUE), ])), error = function(e) NULL)
    if (!is.null(estimate)) draws[i, ] <- estimate
  }
  limits <- apply(draws, 2, quantile, c(0.025, 0.975), na.rm = TRUE)
  cat(name, ": ", sum(is.na(draws[, 1])), " resamples without a fit\n", sep = "")
  print(data.frame(estimate = point[, 1], error = point[, 2], lower = limits[1, ], upper = limits[2, ]), digits = 9)
}

saturating <- function(d) nls(rate ~ Vm * conc / (K + conc), d, start = c(Vm = 200, K = 0.05))
figures("Puromycin, treated", subset(puromycin, state == "treated"), saturating)
figures("Puromycin, untreated", subset(puromycin, state == "untreated"), saturating)
figures("DNase, run 1", dnase, function(d)
  nls(density ~ Asym / (1 + exp((xmid - log(conc)) / scal)), d, start = c(Asym = 2.3, xmid = 1.5, scal = 1)))
figures("BOD", bod, function(d) nls(demand ~ A * (1 - exp(-k * Time)), d, start = c(A = 19, k = 0.5)))
figures("cars, linear", cars, function(d) lm(dist ~ speed, d))
figures("cars, power", cars, function(d) nls(dist ~ a * speed^b, d, start = c(a = 0.6, b = 1.5)))
figures("Loblolly", loblolly, function(d)
  nls(height ~ Asym + (R0 - Asym) * exp(-exp(lrc) * age), d, start = c(Asym = 100, R0 = -8.5, lrc = -3.2)))
figures("null pair", null_pair, function(d) lm(dist ~ speed, d))
