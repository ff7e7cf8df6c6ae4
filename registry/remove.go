package registry

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/medprobe/medprobe/internal/atomicfile"
)

// Remove takes a version out of the registry; its number is not given again. A
// version that an alias points at stays. Its files go with the next [Registry.Sweep].
func (r *Registry) Remove(ctx context.Context, ref Reference) (*Version, error) {
	var v *Version
	err := r.write(ctx, func(tx *sql.Tx) error {
		var err error
		if v, err = find(ctx, tx, ref); err != nil {
			return err
		}
		if len(v.Aliases) > 0 {
			return fmt.Errorf("%s is %s; move or remove the alias first", v.Reference(), strings.Join(v.Aliases, " and "))
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM version WHERE model = ? AND number = ?", v.Model, v.Number)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("registry: remove: %w", err)
	}
	return v, nil
}

// Sweep removes the files that no version names and returns how many there were.
// A registry with a document that cannot be read is left as it is.
func (r *Registry) Sweep(ctx context.Context) (removed int, err error) {
	// The lock of a writer: nobody adds a file meanwhile.
	err = r.write(ctx, func(tx *sql.Tx) error {
		versions, err := r.list(ctx, tx, "")
		if err != nil {
			return err
		}
		used := map[string]bool{}
		for _, v := range versions {
			for _, f := range v.Document.Files {
				used[f.SHA256] = true
			}
		}
		strays, err := r.objects.strays(used)
		if err != nil {
			return err
		}
		for _, path := range strays {
			if name := filepath.Base(path); len(name) != 64 && !atomicfile.IsTemporary(name) {
				continue // not ours
			}
			if err := os.Remove(filepath.Join(r.objects.dir, path)); err != nil {
				return err
			}
			removed++
		}
		return nil
	})
	if err != nil {
		return removed, fmt.Errorf("registry: sweep: %w", err)
	}
	return removed, nil
}
