package registry

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/medprobe/medprobe/internal/sqlitedb"
)

// Move is one move of an alias.
type Move struct {
	Alias string `json:"alias"`
	// From and To are versions; 0 where there was or is none.
	From   int       `json:"from,omitempty"`
	To     int       `json:"to,omitempty"`
	At     time.Time `json:"at"`
	By     string    `json:"by"`
	Reason string    `json:"reason,omitempty"`
}

// SetAlias lets an alias point at a version from now on and notes who moved it and
// why. Readers see the old version or the new one.
func (r *Registry) SetAlias(ctx context.Context, model, alias string, number int, by, reason string) error {
	return r.setAlias(ctx, model, alias, number, by, reason, nil)
}

// MoveAlias is SetAlias for a decision that was made about version from, which the
// alias pointed at, 0 for none: where it was moved meanwhile, the error wraps
// [ErrMoved] and it stays where it is.
func (r *Registry) MoveAlias(ctx context.Context, model, alias string, from, number int, by, reason string) error {
	return r.setAlias(ctx, model, alias, number, by, reason, func(tx *sql.Tx) error {
		var now int
		err := tx.QueryRowContext(ctx, "SELECT number FROM alias WHERE model = ? AND name = ?", model, alias).Scan(&now)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if now != from {
			return fmt.Errorf("%w: it points at version %d now, at %d before; decide again", ErrMoved, now, from)
		}
		return nil
	})
}

// ErrMoved says that somebody else moved an alias meanwhile.
var ErrMoved = errors.New("it was moved meanwhile")

func (r *Registry) setAlias(ctx context.Context, model, alias string, number int, by, reason string, may func(*sql.Tx) error) error {
	if err := checkAlias(alias); err != nil {
		return err
	}
	err := r.write(ctx, func(tx *sql.Tx) error {
		if _, err := find(ctx, tx, Reference{Model: model, Number: number}); err != nil {
			return err
		}
		if may != nil {
			if err := may(tx); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO alias (model, name, number) VALUES (?, ?, ?)
			ON CONFLICT DO UPDATE SET number = excluded.number`, model, alias, number); err != nil {
			return err
		}
		return r.note(ctx, tx, model, alias, number, by, reason)
	})
	if err != nil {
		return fmt.Errorf("registry: alias %s: %w", alias, err)
	}
	return nil
}

// RemoveAlias takes an alias away.
func (r *Registry) RemoveAlias(ctx context.Context, model, alias, by, reason string) error {
	err := r.write(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, "DELETE FROM alias WHERE model = ? AND name = ?", model, alias)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return fmt.Errorf("%q of %q: %w", alias, model, ErrNotFound)
		}
		return r.note(ctx, tx, model, alias, nil, by, reason)
	})
	if err != nil {
		return fmt.Errorf("registry: remove alias: %w", err)
	}
	return nil
}

func (r *Registry) note(ctx context.Context, tx *sql.Tx, model, alias string, number any, by, reason string) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO move (model, alias, number, at, by, reason) VALUES (?, ?, ?, ?, ?, ?)",
		model, alias, number, r.now(), by, reason)
	return err
}

// History returns the moves of a model's aliases, the first first.
func (r *Registry) History(ctx context.Context, model string) ([]Move, error) {
	moves, err := history(ctx, r.db, model)
	if err != nil {
		return nil, fmt.Errorf("registry: history: %w", sqlitedb.Explain(r.path, err))
	}
	return moves, nil
}

func history(ctx context.Context, q querier, model string) ([]Move, error) {
	rows, err := q.QueryContext(ctx, "SELECT alias, number, at, by, reason FROM move WHERE model = ? ORDER BY id", model)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	moves, last := []Move{}, map[string]int{}
	for rows.Next() {
		var m Move
		var to sql.NullInt64
		var at string
		if err := rows.Scan(&m.Alias, &to, &at, &m.By, &m.Reason); err != nil {
			return nil, err
		}
		if m.At, err = time.Parse(time.RFC3339, at); err != nil {
			return nil, fmt.Errorf("alias %q moved at %q: want a time", m.Alias, at)
		}
		m.From, m.To = last[m.Alias], int(to.Int64)
		last[m.Alias] = m.To
		moves = append(moves, m)
	}
	return moves, rows.Err()
}
