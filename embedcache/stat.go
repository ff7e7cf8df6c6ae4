package embedcache

import (
	"context"
	"database/sql"
	"time"
)

// SpaceStat counts what one space holds.
type SpaceStat struct {
	Space
	Store   Store `json:"store"`
	Vectors int   `json:"vectors"`
	Bytes   int64 `json:"bytes"`
}

// RunStat is what a recent fill found.
type RunStat struct {
	Encoder    string    `json:"encoder"`
	Preprocess string    `json:"preprocess"`
	Started    time.Time `json:"started"`
	Samples    int       `json:"samples"`
	Embedded   int       `json:"embedded"`
	Cached     int       `json:"cached"`
	Failed     int       `json:"failed"`
}

// Stat is what `medprobe cache stat` shows.
type Stat struct {
	Path    string      `json:"path"`
	Vectors int         `json:"vectors"`
	Bytes   int64       `json:"bytes"`
	Spaces  []SpaceStat `json:"spaces"`
	// Files is how many files' contents are known without reading them.
	Files int `json:"files"`
	// Runs are the most recent fills, the last one first, and HitRate the share of
	// their samples that was found in the cache; nil without runs.
	Runs    []RunStat `json:"runs"`
	HitRate *float64  `json:"hit_rate"`
}

// recentRuns is how many runs a Stat shows, and keptRuns how many are kept.
const (
	recentRuns = 10
	keptRuns   = 1000
)

// Stat counts the vectors of each space and their bytes, and looks back at recent
// fills.
func (c *Cache) Stat(ctx context.Context) (Stat, error) {
	st := Stat{Path: c.path, Spaces: []SpaceStat{}, Runs: []RunStat{}}
	if err := c.statSpaces(ctx, &st); err != nil {
		return st, err
	}
	if err := c.db.QueryRowContext(ctx, `SELECT count(*) FROM file`).Scan(&st.Files); err != nil {
		return st, c.explain(err)
	}
	rows, err := c.db.QueryContext(ctx, `SELECT encoder, preprocess, started, samples, embedded, cached, failed
		FROM run JOIN space ON space.id = run.space ORDER BY run.id DESC LIMIT $1`, recentRuns)
	if err != nil {
		return st, c.explain(err)
	}
	defer rows.Close()
	samples, cached := 0, 0
	for rows.Next() {
		var r RunStat
		var started int64
		if err := rows.Scan(&r.Encoder, &r.Preprocess, &started, &r.Samples, &r.Embedded, &r.Cached, &r.Failed); err != nil {
			return st, c.explain(err)
		}
		r.Started = time.Unix(started, 0).UTC()
		samples, cached = samples+r.Samples, cached+r.Cached
		st.Runs = append(st.Runs, r)
	}
	if samples > 0 {
		rate := float64(cached) / float64(samples)
		st.HitRate = &rate
	}
	return st, c.explain(rows.Err())
}

// Count returns how many images have their vectors in a space.
func (c *Cache) Count(ctx context.Context, s Space) (n int, err error) {
	shelf, err := c.find(ctx, c.db, s)
	if err != nil {
		return 0, err
	}
	err = c.db.QueryRowContext(ctx, `SELECT count(*) FROM vector WHERE space = $1`, shelf.id).Scan(&n)
	return n, c.explain(err)
}

func (c *Cache) statSpaces(ctx context.Context, st *Stat) error {
	rows, err := c.db.QueryContext(ctx, `SELECT encoder, preprocess, dim, tokens, store, count(vector.id), coalesce(sum(length(data)), 0)
		FROM space LEFT JOIN vector ON vector.space = space.id GROUP BY space.id, encoder, preprocess, dim, tokens, store ORDER BY encoder, preprocess`)
	if err != nil {
		return c.explain(err)
	}
	defer rows.Close()
	for rows.Next() {
		var s SpaceStat
		if err := rows.Scan(&s.Encoder, &s.Preprocess, &s.Dim, &s.Tokens, &s.Store, &s.Vectors, &s.Bytes); err != nil {
			return c.explain(err)
		}
		st.Vectors += s.Vectors
		st.Bytes += s.Bytes
		st.Spaces = append(st.Spaces, s)
	}
	return c.explain(rows.Err())
}

// note keeps what a run found, and the files that it saw.
func (c *Cache) note(ctx context.Context, s shelf, start time.Time, f Filled, files []seen) error {
	return c.transact(ctx, func(tx *sql.Tx) error {
		if err := c.remember(ctx, tx, files); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO run (space, started, samples, embedded, cached, failed) VALUES ($1, $2, $3, $4, $5, $6)`,
			s.id, start.Unix(), f.Samples, f.Embedded, f.Cached, len(f.Failed)); err != nil {
			return c.explain(err)
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM run WHERE id <= (SELECT max(id) FROM run) - $1`, keptRuns)
		return c.explain(err)
	})
}
