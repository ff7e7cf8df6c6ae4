// Package embedcache computes every vector once and never serves a wrong one.
//
// [Open] opens the SQLite file that holds the vectors. [Cache.Fill] walks a
// dataset, encodes what is not there yet and stores it in small transactions:
// interrupted at any moment, it has lost at most the batch in flight, and run
// again it computes only what is missing. [Cache.Matrix] reads the vectors of
// the samples back as a matrix with rows of length one, and [Cache.Search] finds
// those nearest to a vector.
//
// A vector is kept under the SHA-256 of the image's content, its region and
// frame, and the fingerprints of encoder and preprocessing: a changed pixel,
// encoder or profile is never a hit, and a renamed file is. Each row carries a
// checksum over its key and its bytes that is verified whenever the row is
// read; a row that fails it is computed anew by the next Fill, and is an error
// to Matrix.
//
// Vectors are stored as the encoder's tower gives them, before normalisation.
package embedcache
