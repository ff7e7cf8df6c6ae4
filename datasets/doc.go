// Package datasets reads a table, folder or archive into labelled samples and never
// loses one.
//
// [Open] takes a [Spec], FORMAT:PATH or the same as YAML, and returns a
// [Dataset]: its samples, each with an id, a [Source] for its pixels, one
// [Label] per class and, where the source says it, a patient. What cannot be
// used stands in Dataset.Excluded with its reason, what is odd in
// Dataset.Problems. [Dataset.Content] gives the bytes behind a sample and the
// digest that names them; decoding them is a second step, so that a vector
// already known costs no decoding.
//
// [Split] and [Folds] divide samples so that no patient stands on two sides,
// [Draw] takes the few labelled shots for a probe out of the training side,
// [WriteDivision] writes both down for others to repeat, [Leaks] says where a
// given division is not clean, [ReadContents] names what the samples show, and
// [Inspect] counts.
//
// Labels have four values. A missing label is never taken for a negative, unless
// a rule of the spec says so; what rules did stands in Dataset.Rules.
//
// # Formats
//
// Each format is a file named for it and a line in formats.go; docs/formats.md
// describes them. A table is read row by row (table.go), a row becomes a sample
// (columns.go, rows.go), and what is done for every dataset comes last (dataset.go).
package datasets
