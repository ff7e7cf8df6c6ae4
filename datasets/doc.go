// Package datasets reads labelled samples and never loses one.
//
// [Open] takes a [Spec], FORMAT:PATH or the same as YAML, and returns a
// [Dataset]: its samples, each with an id, a [Source] for its pixels, one
// [Label] per class and, where the source says it, a patient. What cannot be
// used stands in Dataset.Excluded with its reason, what is odd in
// Dataset.Problems. [Dataset.Content] gives the bytes behind a sample and the
// digest that names them; decoding them is a second step, so that a vector
// already known costs no decoding.
//
// [Split] divides samples so that no patient stands on two sides, [Draw] takes
// the few labelled shots for a probe out of the training side, [Leaks] says
// where a given division is not clean, and [Inspect] counts.
//
// Labels have four values. A missing label is never taken for a negative.
//
// # Formats
//
// csv (and .tsv), imagefolder, medmnist, voc; docs/formats.md describes each.
package datasets
