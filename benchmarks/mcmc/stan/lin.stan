data { int<lower=0> N; int<lower=0> D; matrix[N, D] x; vector[N] y; int<lower=0> prior; }
parameters { vector[D] beta; real<lower=0> sigma; }
model { if (prior == 1) sigma ~ cauchy(0, 2.5); if (prior == 2) { sigma ~ cauchy(0, 2.5); beta ~ normal(0, 10); } y ~ normal_id_glm(x, 0.0, beta, sigma); }
