package embedcache

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/medprobe/medprobe/datasets"
	"golang.org/x/sync/errgroup"
)

// Keys names what each sample of a dataset shows, in their order. Files that have
// not changed since they were last read are not read. A sample that cannot be read
// is a Failure and has the zero key.
func (c *Cache) Keys(ctx context.Context, d *datasets.Dataset) ([]Key, []Failure, error) {
	query, err := c.db.PrepareContext(ctx, selectFile)
	if err != nil {
		return nil, nil, c.explain(err)
	}
	defer query.Close()
	keys, failed := make([]Key, len(d.Samples)), make([]error, len(d.Samples))
	var mu sync.Mutex
	var files []seen
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for _, job := range jobsOf(d) {
		group.Go(func() error {
			source := d.Samples[job[0]].Source
			digest, file, err := c.identify(groupCtx, query, d, source)
			if groupCtx.Err() != nil {
				return groupCtx.Err()
			}
			if file != nil {
				mu.Lock()
				files = append(files, *file)
				mu.Unlock()
			}
			for _, i := range job {
				if failed[i] = err; err == nil {
					keys[i] = keyOf(digest, d.Samples[i].Source)
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	var failures []Failure
	for i, err := range failed {
		if err != nil {
			failures = append(failures, Failure{ID: d.Samples[i].ID, Step: StepRead, Reason: err.Error()})
		}
	}
	return keys, failures, c.transact(ctx, func(tx *sql.Tx) error { return c.remember(ctx, tx, files) })
}

// identify returns the digest of what lies behind a source, and the file to be
// remembered if it had to be read.
func (c *Cache) identify(ctx context.Context, query *sql.Stmt, d *datasets.Dataset, source datasets.Source) ([sha256.Size]byte, *seen, error) {
	stamp, stamped := d.Stamp(source)
	if stamped {
		if digest, known, err := c.recall(ctx, query, stamp); err != nil || known {
			return digest, nil, err
		}
	}
	content, err := d.Content(source)
	if err != nil {
		return [sha256.Size]byte{}, nil, err
	}
	digest := content.Digest()
	if stamped && settled(stamp, time.Now()) {
		return digest, &seen{stamp, digest}, nil
	}
	return digest, nil, nil
}

// keyOf is the key of a source with that content.
func keyOf(content [sha256.Size]byte, s datasets.Source) Key {
	return Key{Content: content, Region: s.Region, Frame: s.Frame}
}

// String writes a key as exports do: the content in hexadecimal, and, where they
// are not those of a whole image, @ and the frame, counted from 0, and + and the
// region as x0,y0,x1,y1.
func (k Key) String() string {
	text := fmt.Sprintf("%x", k.Content)
	if k.Frame != 0 {
		text += "@" + strconv.Itoa(k.Frame)
	}
	if region := k.region(); region != "" {
		text += "+" + region
	}
	return text
}

// parseKey reads what [Key.String] writes.
func parseKey(text string) (Key, error) {
	var k Key
	rest, region, _ := strings.Cut(text, "+")
	content, frame, framed := strings.Cut(rest, "@")
	digits, err := hex.DecodeString(content)
	if err != nil || len(digits) != len(k.Content) {
		return k, fmt.Errorf("%.80q is no content: want 64 hexadecimal digits", text)
	}
	k.Content = [sha256.Size]byte(digits)
	if framed {
		if k.Frame, err = strconv.Atoi(frame); err != nil {
			return k, fmt.Errorf("%.80q: frame %q: want a number", text, frame)
		}
	}
	if k.Region, err = parseRegion(region); err != nil {
		return k, err
	}
	if k.String() != text {
		return k, fmt.Errorf("%.80q: want %s", text, k)
	}
	return k, nil
}
