// Package medprobe is the root of a few-shot classifier platform for medical
// images: frozen MedSigLIP embeddings are computed once and kept, light heads
// are trained on them, and every figure comes with its uncertainty.
//
// The data goes one way, and so do the imports:
//
//	datasets ──► encoder ──► embedcache ──► trainer ──► evaluate
//	 samples,     pixels →     SQLite         heads       AUC, CI,
//	 labels,      vectors,     vectors by     from        paired tests
//	 patients,    prompts →    content and    vectors     vs zero-shot
//	 splits       vectors      fingerprint
//
// Package experiment reads one YAML file and walks this line once; package
// report turns what it finds into pages; cmd/medprobe is the command line.
//
// Start with package experiment to see the line walked, with datasets to bring
// images of your own, with trainer for a head on vectors you have already, and
// with evaluate for figures on scores you have already.
package medprobe
