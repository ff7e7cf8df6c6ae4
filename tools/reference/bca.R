# Golden BCa intervals for evaluate, from boot.
#
# Run: Rscript tools/reference/bca.R evaluate/testdata/bca.json
# Needs r-cran-boot. boot is given the replicates of an AUC,
# its value and DeLong's components as influence values, in boot's scale: the
# share of each sample, times the number of samples.
library(boot)
out <- commandArgs(trailingOnly = TRUE)[1]
RNGkind("Mersenne-Twister", "Inversion", "Rejection")
set.seed(20261126)

auc <- function(s, y) {
  r <- rank(s)
  (sum(r[y == 1]) - sum(y) * (sum(y) + 1) / 2) / (sum(y) * sum(1 - y))
}
case <- function(name, m, n, shift, resamples, level) {
  y <- c(rep(1, m), rep(0, n))
  s <- round(shift * y + rexp(m + n), 6)
  point <- auc(s, y)
  psi <- outer(s[y == 1], s[y == 0], function(a, b) (a > b) + 0.5 * (a == b))
  influence <- (m + n) * c((rowMeans(psi) - point) / m, (colMeans(psi) - point) / n)
  # boot counts a replicate that equals the value as above, ours as half: such
  # draws are not taken.
  repeat {
    b <- boot(data.frame(s, y), function(d, i) auc(d$s[i], d$y[i]), resamples, strata = y)
    if (!any(abs(b$t - point) < 1e-12)) break
  }
  ci <- boot.ci(b, conf = level, type = "bca", L = influence)$bca
  numbers <- function(v) paste0("[", paste(sprintf("%.17g", v), collapse = ","), "]")
  sprintf('{"name":"%s","y":%s,"s":%s,"replicas":%s,"level":%s,"low":%.17g,"high":%.17g}',
          name, numbers(y), numbers(s), numbers(sort(as.numeric(b$t))), level, ci[4], ci[5])
}
cases <- c(case("even", 150, 170, 1, 999, 0.95), case("skewed", 100, 600, 2, 999, 0.95), case("level .9", 140, 140, 0.5, 999, 0.9))
tool <- paste0("boot ", packageVersion("boot"), ", ", R.version.string)
writeLines(sprintf('{"tool":"%s","cases":[%s]}', tool, paste(cases, collapse = ",\n")), out)
