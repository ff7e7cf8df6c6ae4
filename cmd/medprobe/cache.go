package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/medprobe/medprobe/embedcache"
	"github.com/spf13/cobra"
)

func (s *settings) cacheCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "cache",
		Short:   "Look after the file of embeddings",
		Example: "  medprobe cache stat\n  medprobe cache check",
	}
	cmd.AddCommand(s.cacheStatCommand(), s.cacheCheckCommand(), s.cacheGCCommand(), s.cacheMergeCommand(), s.cacheExportCommand(), s.cacheImportCommand())
	return cmd
}

// cacheStat counts what the cache holds. A file that is not there yet is not
// made by looking at it.
func (s *settings) cacheStat(ctx context.Context) (st embedcache.Stat, err error) {
	path, err := s.cachePath()
	if err != nil {
		return st, err
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && !embedcache.IsRemote(path) {
		s.note("no cache at %s yet; medprobe embed makes it", path)
		return embedcache.Stat{Path: path, Spaces: []embedcache.SpaceStat{}, Runs: []embedcache.RunStat{}}, nil
	}
	cache, err := s.openCache(ctx)
	if err != nil {
		return st, err
	}
	defer closing(cache, &err)
	return cache.Stat(ctx)
}

func (s *settings) cacheStatCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "stat",
		Short:   "Count the vectors by encoder and preprocessing",
		Example: "  medprobe cache stat",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			st, err := s.cacheStat(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return s.json(st)
			}
			fmt.Fprintf(s.out, "%s\n%d vectors, %s; %d files known\n", st.Path, st.Vectors, megabytes(st.Bytes), st.Files)
			if st.HitRate != nil {
				fmt.Fprintf(s.out, "%.0f %% of the samples of the last %d runs were found here\n", 100**st.HitRate, len(st.Runs))
			}
			return s.showSpaces(st.Spaces)
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// showSpaces prints a line for each space.
func (s *settings) showSpaces(spaces []embedcache.SpaceStat) error {
	w := tabwriter.NewWriter(s.out, 0, 8, 2, ' ', 0)
	for _, sp := range spaces {
		dimensions := fmt.Sprint(sp.Dim)
		if sp.Tokens > 1 {
			dimensions = fmt.Sprintf("%d × %d", sp.Tokens, sp.Dim)
		}
		fmt.Fprintf(w, "encoder %s\tpreprocess %.12s\t%s dimensions\t%s\t%d vectors\t%s\n", quoteControl(shortEncoder(sp.Encoder)), sp.Preprocess, dimensions, sp.Store, sp.Vectors, megabytes(sp.Bytes))
	}
	return w.Flush()
}

// shortEncoder shows enough of a fingerprint, and all of a name.
func shortEncoder(fingerprint string) string {
	if strings.ContainsRune(fingerprint, ' ') {
		return fingerprint
	}
	return fmt.Sprintf("%.12s", fingerprint)
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

func (s *settings) cacheCheckCommand() *cobra.Command {
	var o embedcache.CheckOptions
	var readData string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Verify the database and every vector; --repair drops what is bad",
		Long: `Check verifies the structure of the database and its log, and of every vector the
size, the checksum, and that its values are finite. With --repair exactly what is
bad is dropped, so that the next embed computes it anew; where the database itself
is damaged, its good vectors are gathered into a new file and the damaged one is
kept beside it as CACHE.damaged.

Exit code 1 says that something is bad and was not repaired.`,
		Example: "  medprobe cache check\n  medprobe cache check --repair\n  medprobe cache check --read-data=5%",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			share, err := parseShare(readData)
			if err != nil {
				return usagef(cmd, "--read-data %q: %w", readData, err)
			}
			o.Share = &share
			path, err := s.cachePath()
			if err != nil {
				return err
			}
			found, err := embedcache.Check(cmd.Context(), path, o)
			if found != nil {
				if show := s.showCheckup(found, asJSON); show != nil {
					return show
				}
			}
			if err != nil {
				return err
			}
			if !found.OK {
				bad := "one thing is bad"
				if n := len(found.Bad); n > 1 {
					bad = fmt.Sprintf("%d things are bad", n)
				}
				return fmt.Errorf("cache %s: %s; 'medprobe cache check --repair' keeps what is good, and the next embed computes the rest anew", embedcache.Shown(path), bad)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&readData, "read-data", "100%", "share of the vectors whose bytes are verified")
	cmd.Flag("read-data").NoOptDefVal = "100%"
	cmd.Flags().BoolVar(&o.Repair, "repair", false, "drop what is bad")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// parseShare reads a share such as 5% or 0.05.
func parseShare(text string) (float64, error) {
	number, percent := strings.CutSuffix(text, "%")
	share, err := strconv.ParseFloat(number, 64)
	if percent {
		share /= 100
	}
	if err != nil || !(share >= 0 && share <= 1) {
		return 0, errors.New("want a share such as 5% or 100%")
	}
	return share, nil
}

// shownBad is how many things that are bad are printed.
const shownBad = 20

func (s *settings) showCheckup(found *embedcache.Checkup, asJSON bool) error {
	if asJSON {
		return s.json(found)
	}
	for i, b := range found.Bad {
		if i == shownBad {
			fmt.Fprintf(s.out, "… and %d more\n", len(found.Bad)-i)
			break
		}
		where := ""
		if b.Content != "" {
			where = fmt.Sprintf(" content %.12s", b.Content)
		}
		fmt.Fprintf(s.out, "%s:%s %s\n", b.Kind, where, quoteControl(b.What))
	}
	switch {
	case found.Repaired && found.Aside != "":
		fmt.Fprintf(s.out, "repaired: %d vectors kept; the damaged file is %s\n", found.Kept, quoteControl(found.Aside))
	case found.Repaired:
		fmt.Fprintf(s.out, "repaired: %d vectors kept, %d dropped\n", found.Kept, found.Dropped)
	case found.OK:
		fmt.Fprintf(s.out, "%d vectors, all as they were stored\n", found.Rows)
	}
	return nil
}

func (s *settings) cacheGCCommand() *cobra.Command {
	var o embedcache.GCOptions
	var name, dataset, olderThan, maxSize string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "gc",
		Short: "Remove vectors by encoder, age, dataset or size",
		Long: `Gc shows which vectors fit all that is said, and with --yes removes them and gives
their space back to the disk. --max-size removes the oldest until the rest fits.`,
		Example: "  medprobe cache gc --older-than 90d\n  medprobe cache gc --encoder old-encoder --yes",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if name+dataset+olderThan+maxSize == "" {
				return usagef(cmd, "say what to remove: --encoder, --older-than, --dataset or --max-size")
			}
			if o.Before, err = parseAge(olderThan); err != nil {
				return usagef(cmd, "--older-than %q: %w", olderThan, err)
			}
			if o.MaxBytes, err = parseSize(maxSize); err != nil {
				return usagef(cmd, "--max-size %q: %w", maxSize, err)
			}
			if o.Encoder, err = s.encoderFingerprint(name); err != nil {
				return err
			}
			cache, err := s.openCache(cmd.Context())
			if err != nil {
				return err
			}
			defer closing(cache, &err)
			if dataset != "" {
				if o.Contents, err = s.contents(cmd.Context(), cache, dataset); err != nil {
					return err
				}
			}
			g, err := cache.GC(cmd.Context(), o)
			if err != nil {
				return err
			}
			return s.showGarbage(g, asJSON)
		},
	}
	cmd.Flags().StringVar(&name, "encoder", "", "name of an encoder, or how its fingerprint begins")
	cmd.Flags().StringVar(&olderThan, "older-than", "", "age of the vectors, such as 90d or 12h")
	cmd.Flags().StringVar(&dataset, "dataset", "", "SPEC of the images whose vectors to remove")
	cmd.Flags().StringVar(&maxSize, "max-size", "", "what the vectors may take, such as 500MB or 20GB")
	cmd.Flags().BoolVar(&o.Remove, "yes", false, "do it")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (s *settings) showGarbage(g embedcache.Garbage, asJSON bool) error {
	if asJSON {
		return s.json(g)
	}
	if err := s.showSpaces(g.Spaces); err != nil {
		return err
	}
	switch {
	case g.Removed:
		fmt.Fprintf(s.out, "removed %d vectors, %s; the file shrank by %s\n", g.Vectors, megabytes(g.Bytes), megabytes(g.Freed))
	case g.Vectors == 0:
		fmt.Fprintln(s.out, "nothing fits; nothing to remove")
	default:
		fmt.Fprintf(s.out, "%d vectors, %s, would be removed; say --yes to do it\n", g.Vectors, megabytes(g.Bytes))
	}
	return nil
}

// encoderFingerprint returns that of an imported encoder, of vectors that were
// imported under the name, or the name itself.
func (s *settings) encoderFingerprint(name string) (string, error) {
	if name == "" {
		return "", nil
	}
	m, err := s.manifest(name)
	if err != nil {
		return "", err
	}
	switch {
	case m != nil:
		return m.Fingerprint, nil
	case strings.Trim(name, "0123456789abcdef") == "":
		return name, nil
	}
	return embedcache.ImportedFingerprint(name), nil
}

// contents names what the images of a dataset show.
func (s *settings) contents(ctx context.Context, cache *embedcache.Cache, spec string) (_ map[[32]byte]bool, err error) {
	d, err := s.openDataset(ctx, spec)
	if err != nil {
		return nil, err
	}
	defer closing(d, &err)
	keys, failed, err := cache.Keys(ctx, d)
	if err != nil {
		return nil, err
	}
	for _, f := range failed {
		s.note("failed: %s: %s", f.ID, f.Reason)
	}
	contents := map[[32]byte]bool{}
	for _, k := range keys {
		if k != (embedcache.Key{}) {
			contents[k.Content] = true
		}
	}
	return contents, nil
}

// parseAge returns the moment so long ago; the zero time for nothing.
func parseAge(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	age, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n float64
		n, err = strconv.ParseFloat(days, 64)
		age = time.Duration(n * 24 * float64(time.Hour))
	}
	if err != nil || age < 0 {
		return time.Time{}, errors.New("want days or hours, such as 90d or 12h")
	}
	return time.Now().Add(-age), nil
}

// parseSize reads a number of bytes with a unit.
func parseSize(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	number, factor := strings.ToUpper(strings.TrimSpace(text)), 1.0
	for unit, f := range map[string]float64{"KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12} {
		if rest, ok := strings.CutSuffix(number, unit); ok {
			number, factor = rest, f
			break
		}
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(number, "B")), 64)
	if err != nil || !(n*factor >= 1) || n*factor > math.MaxInt64/2 {
		return 0, errors.New("want a size such as 500MB or 20GB")
	}
	return int64(n * factor), nil
}

func (s *settings) cacheMergeCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "merge INTO FROM",
		Short: "Add the vectors of one cache to another",
		Long: `Merge adds to the cache INTO the vectors of the cache FROM that it does not have.
Done twice it adds nothing. Vectors are of one space only if encoder and
preprocessing are the same, weights and all; where both have a vector, INTO keeps
its own, and what differs is counted.`,
		Example: "  medprobe cache merge cache.db colleague.db",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if !embedcache.IsRemote(args[1]) {
				if _, err := os.Stat(args[1]); err != nil {
					return fmt.Errorf("merge %s: %w", args[1], errors.Unwrap(err))
				}
				a, _ := filepath.Abs(args[0])
				b, _ := filepath.Abs(args[1])
				if a == b {
					return usagef(cmd, "merge: %s is both caches", args[0])
				}
			}
			into, err := embedcache.Open(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			defer closing(into, &err)
			from, err := embedcache.Open(cmd.Context(), args[1])
			if err != nil {
				return err
			}
			defer closing(from, &err)
			m, err := into.Merge(cmd.Context(), from)
			if err != nil {
				return err
			}
			if asJSON {
				return s.json(m)
			}
			_, err = fmt.Fprintf(s.out, "%d vectors added, %d were there already, %d of them with other values, %d damaged ones passed over\n", m.Added, m.Same+m.Differing, m.Differing, m.Damaged)
			return err
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}
