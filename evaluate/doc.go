// Package evaluate turns labels and scores into figures one may act on.
//
// For one column of scores call [AUC]: scores, labels and the patient of each
// sample go in, an [Estimate] comes out. For two columns on the same samples
// call [Compare]. [Assess] does both for every finding of an experiment and
// fills a [Report], the versioned document that package report turns into
// pages; [ReadScores] and [Scores.Summarize] do it for a table of scores.
//
// No figure leaves this package without the number of samples, an interval and
// the unit over which the interval was taken. Samples of one patient are alike,
// so the unit is the patient wherever patients are known: intervals and tests
// sum over patients first (Obuchowski 1997). What cannot be estimated is an
// error or is absent, never a NaN, and carries a [Warning] that says how much
// more data it would take.
//
// # Intervals
//
// The interval of an AUC is DeLong's, AUC ± z·SE, as pROC gives it, unless it
// would be dishonest: where it would reach past 0 or 1, where the variance is
// zero (perfect separation, constant scores), or where a class has fewer than
// [FewUnits] units, it is Newcombe's score interval, which is never of zero
// width. Where a unit holds several samples it is made on the probit scale with
// Student's t, and holds the truth in 94 to 96 % of cases from [ManyUnits] units
// of each class on; with fewer, or an AUC near 1 for their number, it is wider.
// docs/coverage.md has the shares by simulation. Estimate.Method says which it is. [Bootstrap] offers percentile and
// BCa intervals instead.
//
// The package knows labels and scores only: no images, no database, no file
// names. It does not choose thresholds.
package evaluate
