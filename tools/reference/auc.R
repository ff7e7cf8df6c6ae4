# Golden AUCs, DeLong variances and paired tests for evaluate, from pROC.
#
# Run: Rscript tools/reference/auc.R evaluate/testdata/auc.json
# Needs r-cran-proc and r-cran-jsonlite. The clustered variance has no package
# here: it is Obuchowski's formulas (Biometrics 53 (1997) 567-578) written out
# over the matrix of all pairs.
suppressMessages({library(pROC); library(jsonlite)})
out <- commandArgs(trailingOnly = TRUE)[1]
RNGkind("Mersenne-Twister", "Inversion", "Rejection")
set.seed(20261123)

# Each case: labels, two columns of scores, and a patient per sample.
make <- function(name, m, n, shift, rho, digits, per) {
  total <- m + n
  patient <- (seq_len(total) - 1) %/% per
  common <- rnorm(max(patient) + 1)[patient + 1]
  y <- c(rep(1, m), rep(0, n))
  if (per > 1) y <- sample(y)      # patients hold both classes
  shared <- rnorm(total)
  column <- function(d) round(d * y + 0.6 * common + rho * shared + sqrt(1 - rho^2) * rnorm(total), digits)
  list(name = name, y = y, a = column(shift), b = column(shift * 0.7), group = paste0("p", patient))
}
cases <- list(
  make("continuous", 60, 90, 1.0, 0.7, 12, 1),
  make("many ties", 50, 50, 0.8, 0.7, 0, 1),
  make("few positives", 11, 400, 1.2, 0.5, 3, 1),
  make("worse than chance", 40, 60, -0.5, 0.3, 6, 1),
  make("nearly separated", 80, 80, 3.0, 0.8, 6, 1),
  make("large", 700, 900, 0.9, 0.6, 4, 1),
  make("patients of three", 60, 90, 1.0, 0.6, 12, 3),
  make("patients of five, ties", 80, 120, 1.0, 0.6, 1, 5))

obuchowski <- function(case) {
  pos <- which(case$y == 1); neg <- which(case$y == 0)
  m <- length(pos); n <- length(neg)
  ids <- unique(case$group)
  parts <- lapply(list(case$a, case$b), function(s) {
    psi <- outer(s[pos], s[neg], function(x, y) (x > y) + 0.5 * (x == y))
    theta <- mean(psi)
    v10 <- rowMeans(psi) - theta; v01 <- colMeans(psi) - theta
    list(p = sapply(ids, function(g) sum(v10[case$group[pos] == g])),
         q = sapply(ids, function(g) sum(v01[case$group[neg] == g])))
  })
  i10 <- length(unique(case$group[pos])); i01 <- length(unique(case$group[neg])); i <- length(ids)
  cov <- function(k, l) {
    s10 <- i10 / ((i10 - 1) * m) * sum(parts[[k]]$p * parts[[l]]$p)
    s01 <- i01 / ((i01 - 1) * n) * sum(parts[[k]]$q * parts[[l]]$q)
    s11 <- i / (i - 1) * sum(parts[[k]]$p * parts[[l]]$q)
    s11t <- i / (i - 1) * sum(parts[[l]]$p * parts[[k]]$q)
    s10 / m + s01 / n + (s11 + s11t) / (m * n)
  }
  list(var_a = cov(1, 1), var_b = cov(2, 2), var_difference = cov(1, 1) + cov(2, 2) - 2 * cov(1, 2))
}

golden <- lapply(cases, function(case) {
  curve <- function(s) roc(case$y, s, levels = c(0, 1), direction = "<", quiet = TRUE)
  a <- curve(case$a); b <- curve(case$b)
  test <- roc.test(a, b, method = "delong", paired = TRUE)
  result <- list(auc_a = as.numeric(auc(a)), auc_b = as.numeric(auc(b)),
    ci_a = as.numeric(ci.auc(a, method = "delong"))[c(1, 3)], ci_b = as.numeric(ci.auc(b, method = "delong"))[c(1, 3)],
    var_a = as.numeric(var(a, method = "delong")), var_b = as.numeric(var(b, method = "delong")),
    z = as.numeric(test$statistic), p = as.numeric(test$p.value), ci_difference = as.numeric(test$conf.int))
  list(name = unbox(case$name), y = case$y, a = case$a, b = case$b, group = case$group,
    proc = lapply(result, function(v) if (length(v) == 1) unbox(v) else v), clustered = lapply(obuchowski(case), unbox))
})
tool <- paste0("pROC ", packageVersion("pROC"), ", ", R.version.string)
# jsonlite writes at most 15 significant digits; the scores have no more.
writeLines(toJSON(list(tool = unbox(tool), cases = golden), digits = I(17)), out)
