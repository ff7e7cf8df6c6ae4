# Golden intervals of proportions for evaluate, from R's own stats.
#
# Run: Rscript tools/reference/proportion.R evaluate/testdata/proportion.json
# Needs nothing but R. Wilson is prop.test without continuity correction.
# The clustered sizes are written out: Rao and Scott (Biometrics 48 (1992) 577-585).
out <- commandArgs(trailingOnly = TRUE)[1]
RNGkind("Mersenne-Twister", "Inversion", "Rejection")
set.seed(20261125)
text <- function(v) if (is.character(v)) paste0('"', v, '"') else sprintf("%.17g", v)
json <- function(v) {
  if (is.list(v) && !is.null(names(v))) paste0("{", paste0('"', names(v), '":', sapply(v, json), collapse = ","), "}")
  else if (is.list(v)) paste0("[", paste(sapply(v, json), collapse = ",\n"), "]")
  else if (length(v) == 1) text(v)
  else paste0("[", paste(text(v), collapse = ","), "]")
}
tight <- function(k, n, level) suppressWarnings(list(
  k = k, n = n, level = level,
  wilson = as.numeric(prop.test(k, n, conf.level = level, correct = FALSE)$conf.int)))
cases <- list()
for (kn in list(c(0, 1), c(1, 1), c(0, 10), c(10, 10), c(1, 10), c(3, 7), c(9, 118), c(118, 118), c(450, 500), c(7, 2000), c(99999, 100000)))
  for (level in c(0.9, 0.95, 0.99)) cases[[length(cases) + 1]] <- tight(kn[1], kn[2], level)
clustered <- lapply(c(12, 40, 90), function(patients) {
  size <- sample(1:5, patients, replace = TRUE)
  group <- rep(seq_len(patients), size)
  hit <- rbinom(length(group), 1, plogis(0.8 + 1.5 * rnorm(patients))[group])
  p <- mean(hit); n <- length(hit)
  k <- tapply(hit, group, sum); m <- tapply(hit, group, length)
  v <- patients / (patients - 1) * sum((k - p * m)^2) / n^2
  effective <- min(n, n * (p * (1 - p) / (n - 1)) / v)
  list(hit = hit, group = paste0("p", group), effective = effective, std_err = sqrt(p * (1 - p) / effective))
})
writeLines(json(list(tool = R.version.string, cases = cases, clustered = clustered)), out)
