package registry

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/medprobe/medprobe/internal/atomicfile"
	"github.com/medprobe/medprobe/internal/sqlitedb"
	"github.com/medprobe/medprobe/trainer"
)

// Verification is what Verify found.
type Verification struct {
	OK bool `json:"ok"`
	// Versions and Files were checked, and Samples scored again.
	Versions int `json:"versions"`
	Files    int `json:"files"`
	Samples  int `json:"samples"`
	// Damage is what is wrong, Hints what is odd and does no harm.
	Damage []string `json:"damage"`
	Hints  []string `json:"hints"`
}

func (v *Verification) damage(format string, args ...any) {
	v.Damage = append(v.Damage, fmt.Sprintf(format, args...))
}

// Verify recomputes the digest of everything that the versions of a model consist
// of, or the one that the reference gives a number or an alias of; it scores their
// stored samples again and compares aliases with their history. The zero Reference
// is all models. A whole file that no version names is a hint: a writer is about to
// name it, or was killed before. Any other file there is damage. Writers and removals
// that go on meanwhile are not taken for damage.
func (r *Registry) Verify(ctx context.Context, ref Reference) (*Verification, error) {
	v := &Verification{Damage: []string{}, Hints: []string{}}
	if ref != (Reference{}) {
		found, err := r.Find(ctx, ref)
		if errors.Is(err, ErrNotFound) {
			return nil, err
		}
		if err == nil && ref.Alias != "" {
			ref = found.Reference()
		}
	}
	used := map[string]bool{}
	err := sqlitedb.Snapshot(ctx, r.db, func(conn *sql.Conn) error {
		if err := r.verifyDatabase(ctx, conn, v); err != nil {
			return err
		}
		rows, err := numbers(ctx, conn)
		if err != nil {
			return err
		}
		for _, at := range rows {
			version, err := find(ctx, conn, at)
			if err != nil {
				v.damage("%v", err)
				continue
			}
			for _, f := range version.Document.Files {
				used[f.SHA256] = true
			}
			if ref.Model != "" && (ref.Model != at.Model || ref.Number != 0 && ref.Number != at.Number) {
				continue
			}
			before := *v
			r.verifyVersion(version, v)
			if _, err := find(ctx, r.db, at); len(v.Damage) > len(before.Damage) && errors.Is(err, ErrNotFound) {
				*v = before // it was removed meanwhile, and its files with it
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("registry: verify: %w", sqlitedb.Explain(r.path, err))
	}
	if err := r.verifyStrays(ctx, used, v); err != nil {
		return nil, fmt.Errorf("registry: verify: %w", sqlitedb.Explain(r.path, err))
	}
	v.OK = len(v.Damage) == 0
	return v, nil
}

// verifyStrays looks at the files that the versions seen do not name.
func (r *Registry) verifyStrays(ctx context.Context, used map[string]bool, v *Verification) error {
	strays, err := r.objects.strays(used)
	if err != nil || len(strays) == 0 {
		return err
	}
	// Versions that came since name files that came since.
	var since map[string]bool
	err = sqlitedb.Snapshot(ctx, r.db, func(conn *sql.Conn) (err error) {
		since, err = named(ctx, conn)
		return err
	})
	if err != nil {
		return err
	}
	for _, path := range strays {
		name := filepath.Base(path)
		switch whole, err := r.objects.whole(path); {
		case errors.Is(err, fs.ErrNotExist) || whole && since[name]:
		case atomicfile.IsTemporary(name):
			v.Hints = append(v.Hints, fmt.Sprintf("objects/%s: a write is under way or was killed; 'medprobe registry gc' removes what is left", filepath.ToSlash(path)))
		case whole:
			v.Hints = append(v.Hints, fmt.Sprintf("objects/%s: belongs to no version yet: a write is under way or was killed; 'medprobe registry gc' removes what is left", filepath.ToSlash(path)))
		case err != nil:
			v.damage("objects/%s: no version names it: %v", filepath.ToSlash(path), err)
		default:
			v.damage("objects/%s: no version names it, and its bytes are not those it is named by; 'medprobe registry gc' removes it", filepath.ToSlash(path))
		}
	}
	return nil
}

// named returns the digests of the files of all versions whose document can be read.
func named(ctx context.Context, conn *sql.Conn) (map[string]bool, error) {
	rows, err := numbers(ctx, conn)
	if err != nil {
		return nil, err
	}
	digests := map[string]bool{}
	for _, at := range rows {
		version, err := find(ctx, conn, at)
		if err != nil {
			continue // which is damage, and said
		}
		for _, f := range version.Document.Files {
			digests[f.SHA256] = true
		}
	}
	return digests, nil
}

// verifyDatabase lets SQLite check its file, and compares aliases with their
// history.
func (r *Registry) verifyDatabase(ctx context.Context, conn *sql.Conn, v *Verification) error {
	var what string
	if err := conn.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&what); err != nil {
		return err
	}
	if what != "ok" {
		v.damage("registry.db: %s", what)
	}
	rows, err := conn.QueryContext(ctx, `SELECT m.model, m.alias, m.number, a.number FROM move AS m
		LEFT JOIN alias AS a ON a.model = m.model AND a.name = m.alias
		WHERE m.id = (SELECT max(id) FROM move WHERE model = m.model AND alias = m.alias) AND m.number IS NOT a.number
		UNION ALL SELECT model, name, NULL, number FROM alias AS a WHERE NOT EXISTS (SELECT 1 FROM move WHERE model = a.model AND alias = a.name)`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var model, alias string
		var want, got sql.NullInt64
		if err := rows.Scan(&model, &alias, &want, &got); err != nil {
			return err
		}
		v.damage("alias %s@%s points at version %d, its history at %d", model, alias, got.Int64, want.Int64)
	}
	return rows.Err()
}

func numbers(ctx context.Context, conn *sql.Conn) (list []Reference, err error) {
	rows, err := conn.QueryContext(ctx, "SELECT model, number FROM version ORDER BY model, number")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var at Reference
		if err := rows.Scan(&at.Model, &at.Number); err != nil {
			return nil, err
		}
		list = append(list, at)
	}
	return list, rows.Err()
}

func (r *Registry) verifyVersion(version *Version, v *Verification) {
	v.Versions++
	broken := false
	for _, f := range version.Document.Files {
		v.Files++
		if err := r.objects.check(f); err != nil {
			v.damage("%s: %v", version.Reference(), err)
			broken = true
		}
	}
	if broken {
		return
	}
	head, err := r.Head(version)
	if err != nil {
		v.damage("%s: %v", version.Reference(), err)
		return
	}
	if _, ok := version.Document.file(sampleFile); !ok {
		why := "it takes covariates, or its run is of an earlier medprobe"
		if version.Document.Imported != nil {
			why = "it was read back from an export, which carries none"
		}
		v.Hints = append(v.Hints, fmt.Sprintf("%s: no sample is stored to score again: %s", version.Reference(), why))
		return
	}
	v.Samples++
	sample, err := r.File(version, sampleFile)
	if err == nil {
		err = checkSample(sample, head)
	}
	if err != nil {
		v.damage("%s: %s: %v", version.Reference(), sampleFile, err)
	}
	if _, err := r.Reference(version); err != nil && !errors.Is(err, ErrNoReference) {
		v.damage("%s: %v", version.Reference(), err)
	}
}

// Head returns the head of a version after checking its bytes.
func (r *Registry) Head(v *Version) (*trainer.Head, error) {
	file, err := r.File(v, headFile)
	if err != nil {
		return nil, err
	}
	h, err := trainer.ReadHead(headFile, file)
	if err != nil {
		return nil, fmt.Errorf("registry: %s: %w", v.Reference(), err)
	}
	return h, nil
}

// File returns the bytes of one of a version's files after checking them.
func (r *Registry) File(v *Version, path string) ([]byte, error) {
	f, ok := v.Document.file(path)
	if !ok {
		return nil, fmt.Errorf("registry: %s: %w", v.Reference(), v.Document.lacks(path))
	}
	b, err := r.objects.read(f)
	if err != nil {
		return nil, fmt.Errorf("registry: %s: %w", v.Reference(), err)
	}
	return b, nil
}
