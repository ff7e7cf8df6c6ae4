// Package registry keeps heads as named, numbered versions that never change, each
// with what it was made of and what it reached.
//
// Open opens a folder, Registry.Add takes a head out of the folder of a run,
// Registry.Find finds a version by "name", "name@3" or "name@champion", and
// Registry.SetAlias moves a name to a version. Export writes a version's head for
// other programs, or the whole version as one file, ExportEndToEnd with its encoder;
// Import makes a version of any of them again.
//
// # What lies where
//
// registry.db (SQLite) holds names, numbers, aliases and their history, and of
// each version one JSON document. The files a version is made of lie in objects/,
// named by their SHA-256. A version is there when its row is: files come before
// it, and a kill leaves at most files without a row, which Verify names and the
// next removal sweeps.
//
// # What it guards
//
// A version's document lists the digests of its files, and the row that of the
// document; Verify recomputes them all and scores a stored sample again. Ids and
// patients enter only as HMACs under the registry's own key, so that later runs
// can be compared sample by sample and no name leaves with a bundle.
package registry
