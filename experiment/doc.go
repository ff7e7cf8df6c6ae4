// Package experiment turns one YAML file into heads and a report on them: it walks
// the whole line once, embeds the images, trains heads, compares them with the
// zero-shot baseline and says what it found.
//
// [Load] reads the file, [Run] does the work and [Result.Write] leaves a folder
// with the report, the predictions, the heads and a manifest of digests. [ZeroShot],
// [Suggest], [Drift] and [CompareSpaces] ask one question each on the same way. The
// package wires the others together and has no figure of its own: vectors come
// from embedcache, heads from trainer, figures from evaluate.
//
// The test part is looked at once, at the end. Penalties are chosen on the
// training part alone, and no patient stands on both sides, or the run ends
// with an error. Every sample is accounted for as used, excluded or failed.
// The same file, data, encoder and seed give the same bytes.
package experiment
