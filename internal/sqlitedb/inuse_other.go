//go:build !unix

package sqlitedb

// InUse returns an error if another process has the database open, where that can
// be told.
func InUse(string) error { return nil }
