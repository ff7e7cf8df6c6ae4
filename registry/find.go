package registry

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/medprobe/medprobe/internal/sqlitedb"
)

// querier is a database or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// List returns the versions of a model, or of all models for "", by name and
// number.
func (r *Registry) List(ctx context.Context, model string) ([]*Version, error) {
	versions, err := r.list(ctx, r.db, model)
	if err != nil {
		return nil, fmt.Errorf("registry: list: %w", sqlitedb.Explain(r.path, err))
	}
	if model != "" && len(versions) == 0 {
		return nil, fmt.Errorf("registry: model %q: %w; 'medprobe registry list' lists what is", model, ErrNotFound)
	}
	return versions, nil
}

const selectVersion = "SELECT model, number, digest, document, added, added_by FROM version"

func (r *Registry) list(ctx context.Context, q querier, model string) ([]*Version, error) {
	rows, err := q.QueryContext(ctx, selectVersion+" WHERE ?1 = '' OR model = ?1 ORDER BY model, number", model)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	versions := []*Version{}
	for rows.Next() {
		v, err := scanVersion(rows)
		if err != nil {
			return nil, err
		}
		versions = append(versions, v)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return versions, withAliases(ctx, q, versions)
}

func scanVersion(row interface{ Scan(...any) error }) (*Version, error) {
	v := &Version{Aliases: []string{}}
	var document []byte
	var added string
	if err := row.Scan(&v.Model, &v.Number, &v.Digest, &document, &added, &v.AddedBy); err != nil {
		return nil, err
	}
	if got := hexDigest(document); got != v.Digest {
		return nil, fmt.Errorf("%s: its document has digest %.12s…, want %.12s…: it was changed or damaged", v.Reference(), got, v.Digest)
	}
	var err error
	if v.Document, err = decodeDocument(document); err != nil {
		return nil, fmt.Errorf("%s: %w", v.Reference(), err)
	}
	if v.Added, err = time.Parse(time.RFC3339, added); err != nil {
		return nil, fmt.Errorf("%s: added %q: want a time", v.Reference(), added)
	}
	return v, nil
}

func withAliases(ctx context.Context, q querier, versions []*Version) error {
	at := map[Reference]*Version{}
	for _, v := range versions {
		at[v.Reference()] = v
	}
	rows, err := q.QueryContext(ctx, "SELECT model, name, number FROM alias ORDER BY model, name")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var to Reference
		var alias string
		if err := rows.Scan(&to.Model, &alias, &to.Number); err != nil {
			return err
		}
		if v := at[to]; v != nil {
			v.Aliases = append(v.Aliases, alias)
		}
	}
	return rows.Err()
}

// Find returns the version that a reference names. If there is none, the error
// wraps [ErrNotFound].
func (r *Registry) Find(ctx context.Context, ref Reference) (*Version, error) {
	v, err := find(ctx, r.db, ref)
	if err != nil {
		return nil, fmt.Errorf("registry: %w", sqlitedb.Explain(r.path, err))
	}
	return v, nil
}

func find(ctx context.Context, q querier, ref Reference) (*Version, error) {
	row := q.QueryRowContext(ctx, selectVersion+` WHERE model = ?1 AND number = CASE
		WHEN ?2 > 0 THEN ?2
		WHEN ?3 <> '' THEN (SELECT number FROM alias WHERE model = ?1 AND name = ?3)
		ELSE (SELECT max(number) FROM version WHERE model = ?1) END`, ref.Model, ref.Number, ref.Alias)
	v, err := scanVersion(row)
	if errors.Is(err, sql.ErrNoRows) {
		hint := "'medprobe registry list' lists what is"
		if number := strings.TrimPrefix(ref.Alias, "v"); number != ref.Alias && strings.Trim(number, "0123456789") == "" && number != "" {
			hint = fmt.Sprintf("a version is a number, as in %s@%s", ref.Model, number)
		}
		return nil, fmt.Errorf("%q: %w; %s", ref.String(), ErrNotFound, hint)
	}
	if err != nil {
		return nil, err
	}
	return v, withAliases(ctx, q, []*Version{v})
}
