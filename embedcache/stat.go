package embedcache

import "context"

// SpaceStat counts what one space holds.
type SpaceStat struct {
	Space
	Vectors int   `json:"vectors"`
	Bytes   int64 `json:"bytes"`
}

// Stat is what `medprobe cache stat` shows.
type Stat struct {
	Path    string      `json:"path"`
	Vectors int         `json:"vectors"`
	Bytes   int64       `json:"bytes"`
	Spaces  []SpaceStat `json:"spaces"`
}

// Stat counts the vectors of each space and their bytes.
func (c *Cache) Stat(ctx context.Context) (Stat, error) {
	st := Stat{Path: c.path, Spaces: []SpaceStat{}}
	rows, err := c.db.QueryContext(ctx, `SELECT encoder, preprocess, dim, count(vector.id), coalesce(sum(length(data)), 0)
		FROM space LEFT JOIN vector ON vector.space = space.id GROUP BY space.id ORDER BY encoder, preprocess`)
	if err != nil {
		return st, c.explain(err)
	}
	defer rows.Close()
	for rows.Next() {
		var s SpaceStat
		if err := rows.Scan(&s.Encoder, &s.Preprocess, &s.Dim, &s.Vectors, &s.Bytes); err != nil {
			return st, c.explain(err)
		}
		st.Vectors += s.Vectors
		st.Bytes += s.Bytes
		st.Spaces = append(st.Spaces, s)
	}
	return st, c.explain(rows.Err())
}
