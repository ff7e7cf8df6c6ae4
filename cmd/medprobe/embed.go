package main

import (
	"fmt"
	"time"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/embedcache"
	"github.com/medprobe/medprobe/experiment"
	"github.com/medprobe/medprobe/internal/near"
	"github.com/spf13/cobra"
)

func (s *settings) embedCommand() *cobra.Command {
	var enc encoderFlags
	var o embedcache.FillOptions
	var maxFailures, store string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "embed SPEC",
		Short: "Compute the vectors that the cache does not hold yet",
		Long: `Embed encodes every sample of the dataset whose vector is not in the cache.
Interrupted at any moment and run again, it computes only what is missing. Files
that have not changed since they were last read, by device, inode, size and times,
are not read again.`,
		Example: "  medprobe embed csv:labels.csv --encoder demo",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if err := enc.check(cmd); err != nil {
				return err
			}
			if o.Workers < 0 {
				return usagef(cmd, "--workers %d: want 0 (one per CPU) or more", o.Workers)
			}
			if o.MaxPixels < 0 {
				return usagef(cmd, "--max-pixels %d: want 0 (the default) or more", o.MaxPixels)
			}
			if err := checkMaxFailures(cmd, maxFailures); err != nil {
				return err
			}
			if o.Store = embedcache.Store(store); store != "" {
				if err := near.Check("--store", store, stores); err != nil {
					return usagef(cmd, "%w", err)
				}
			}
			start := time.Now()
			d, err := s.openDataset(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			defer closing(d, &err)
			if o.MaxFailures, err = embedcache.ParseMaxFailures(maxFailures, len(d.Samples)); err != nil {
				return err
			}
			return s.usingVectors(cmd.Context(), enc.name, enc.profile, func(e experiment.Encoder, cache *embedcache.Cache) error {
				var finish func()
				o.Progress, finish = s.progress("embed")
				filled, err := cache.Fill(cmd.Context(), d, e, o)
				finish()
				if filled == nil {
					return err
				}
				for _, f := range filled.Failed {
					s.note("failed: %s: %s", f.ID, f.Reason)
				}
				if err != nil {
					return err
				}
				if n := len(filled.OnTheirSide); n > 0 {
					s.note("note: %s", datasets.SayTurned(n, d.Samples[filled.OnTheirSide[0]].ID))
				}
				return s.showFilled(filled, time.Since(start), asJSON)
			})
		},
	}
	enc.add(cmd)
	cmd.Flags().IntVar(&o.Workers, "workers", 0, "goroutines that read and decode images (default: one per CPU)")
	cmd.Flags().Int64Var(&o.MaxPixels, "max-pixels", 0, "largest image in pixels (default 178956970)")
	cmd.Flags().StringVar(&maxFailures, "max-failures", "5%", "how many samples may fail before the run stops: a number, a share, or inf")
	cmd.Flags().BoolVar(&o.Rehash, "rehash", false, "read files that have not changed too")
	cmd.Flags().StringVar(&store, "store", "", "how vectors are kept: f32, or f16 for half the size (default: as those that are there, or f32)")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// stores are the ways to keep a number.
var stores = []string{string(embedcache.Float32), string(embedcache.Float16)}

// checkMaxFailures looks at --max-failures before any work is done.
func checkMaxFailures(cmd *cobra.Command, value string) error {
	if _, err := embedcache.ParseMaxFailures(value, 1); err != nil {
		return usagef(cmd, "--max-failures %q: want a number of samples, a share such as 5%%, or inf", value)
	}
	return nil
}

func (s *settings) showFilled(f *embedcache.Filled, took time.Duration, asJSON bool) error {
	if asJSON {
		return s.json(struct {
			Samples  int                  `json:"samples"`
			Embedded int                  `json:"embedded"`
			Cached   int                  `json:"cached"`
			Failed   int                  `json:"failed"`
			Seconds  float64              `json:"seconds"`
			Failures []embedcache.Failure `json:"failures"`
		}{f.Samples, f.Embedded, f.Cached, len(f.Failed), took.Seconds(), f.Failed})
	}
	_, err := fmt.Fprintf(s.out, "%d samples: %d embedded, %d cached, %d failed in %.1f s\n", f.Samples, f.Embedded, f.Cached, len(f.Failed), took.Seconds())
	return err
}
