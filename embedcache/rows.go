package embedcache

import (
	"context"

	"golang.org/x/sync/errgroup"
)

// row is a vector as the database has it.
type row struct {
	id, space int64
	key       Key
	// readable says that the database's columns made a key.
	readable  bool
	data, sum []byte
	at        int64
}

// eachRow lets take have every row of a shelf in the order in which they came; see
// scan. The plus keeps the database from going by the key, in another order.
func (c *Cache) eachRow(ctx context.Context, q querier, s shelf, take func(row) error) error {
	return c.scan(ctx, q, `WHERE +space = $1 ORDER BY id`, take, s.id)
}

// scan lets take have the rows that a condition picks, while the next ones are
// being read. A row is valid during the call only.
func (c *Cache) scan(ctx context.Context, q querier, where string, take func(row) error, args ...any) error {
	group, ctx := errgroup.WithContext(ctx)
	batches := make(chan []row, 2)
	group.Go(func() error {
		defer close(batches)
		return c.readRows(ctx, q, where, args, batches)
	})
	group.Go(func() error {
		for batch := range batches {
			for _, r := range batch {
				if err := take(r); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return group.Wait()
}

func (c *Cache) readRows(ctx context.Context, q querier, where string, args []any, batches chan<- []row) error {
	rows, err := q.QueryContext(ctx, `SELECT id, space, content, region, frame, data, sum, stored FROM vector `+where, args...)
	if err != nil {
		return c.explain(err)
	}
	defer rows.Close()
	var batch []row
	flush := func() error {
		select {
		case batches <- batch:
			batch = nil
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for rows.Next() {
		var r row
		var content []byte
		var region string
		if err := rows.Scan(&r.id, &r.space, &content, &region, &r.key.Frame, &r.data, &r.sum, &r.at); err != nil {
			return c.explain(err)
		}
		if r.key.Region, err = parseRegion(region); err == nil && len(content) == len(r.key.Content) {
			r.key.Content, r.readable = [32]byte(content), true
		}
		if batch = append(batch, r); len(batch) == 64 {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := rows.Err(); err != nil {
		return c.explain(err)
	}
	return flush()
}

// shelves returns all the spaces of the cache.
func (c *Cache) shelves(ctx context.Context, q querier) ([]shelf, error) {
	rows, err := q.QueryContext(ctx, `SELECT id, encoder, preprocess, dim, tokens, store, mark FROM space ORDER BY id`)
	if err != nil {
		return nil, c.explain(err)
	}
	defer rows.Close()
	var all []shelf
	for rows.Next() {
		var s shelf
		if err := rows.Scan(&s.id, &s.Encoder, &s.Preprocess, &s.Dim, &s.Tokens, &s.store, &s.mark); err != nil {
			return nil, c.explain(err)
		}
		all = append(all, s)
	}
	return all, c.explain(rows.Err())
}
