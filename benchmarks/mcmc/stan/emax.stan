data { int<lower=0> N; vector[N] x; vector[N] y; }
parameters { real e0; real emax; real<lower=0> ec50; real<lower=0> sigma; }
model { e0 ~ normal(0, 1.5); emax ~ normal(0, 2.5); ec50 ~ lognormal(-1.2, 1); sigma ~ normal(0, 1); y ~ normal(e0 + emax * x ./ (x + ec50), sigma); }
