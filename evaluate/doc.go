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
// width. Estimate.Method says which it is. [Bootstrap] offers percentile and
// BCa intervals instead. In 20,000 simulated worlds each, of 10 to 100 patients
// with 1 or 5 samples and AUCs of .7 to .97, the intervals at level .95 held the
// truth in 94 to 99.6 % (68 to 78 % where samples of one patient were taken for
// independent), and [Compare] called equals different in 4.0 to 5.2 % of worlds
// at p < .05 (11 to 27 %).
//
// The package knows labels and scores only: no images, no database, no file
// names. It does not choose thresholds.
package evaluate
