// Package report turns what an experiment found into pages and files.
//
// An [evaluate.Report] goes in; [HTML] writes a page of its own that reads
// without scripts or network, [Text] the table for a terminal, [Markdown] the
// comment for a pull request and [JSON] the document for programs. Each is the
// same bytes for the same report.
//
// Names, prompts and reasons come from outside. No writer lets them be more
// than text: HTML is escaped by its context and forbids requests, and every
// script but its own, by a content security policy; Markdown is escaped; control
// characters and marks that reverse text are shown by their codes.
//
// The package computes no figure. What a report says in words it counts from
// the figures in it.
package report
