// Package embedcache turns the images and texts of a dataset into an encoder's vectors,
// computes every one once and never serves a wrong one.
//
// [Open] opens the SQLite file, or the PostgreSQL database, that holds the vectors.
// [Cache.Fill] walks a dataset, encodes what is not there yet and stores it in small
// transactions: interrupted at any moment, it has lost at most the batch in flight,
// and run again it computes only what is missing. [Cache.Matrix] reads the vectors of
// the samples back as a matrix with rows of length one, [Cache.Texts] does both for
// prompts, and [Cache.Search] ranks images by a vector.
//
// A vector is kept under the SHA-256 of the image's content, its region and
// frame, and the fingerprints of encoder and preprocessing: a changed pixel,
// encoder or profile is never a hit, and a renamed file is. What a file holds is
// remembered by device, inode, size and times, so that it is not read again.
//
// Each row carries a checksum over its key and its bytes that is verified whenever
// the row is read; a row that fails it is computed anew by the next Fill, and is an
// error to Matrix. [Check] verifies all of them and repairs a damaged database down
// to its pages. Vectors are stored as the encoder's tower gives them, before
// normalisation, as float32 or, where that is asked for, float16.
//
// [Cache.Export], [Cache.Import] and [Cache.Merge] exchange vectors with other
// programs and machines, [Cache.GC] removes them. No pixel, name or path is kept.
//
// # Files
//
// Beside the database lies a folder of mapped files, one for each space that many
// vectors were read of: the same rows as they are used. They are made from rows that
// were verified, carry the mark that the space had then, and are made anew once it
// has another.
package embedcache
