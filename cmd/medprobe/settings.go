package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/medprobe/medprobe/embedcache"
	"github.com/medprobe/medprobe/encoder"
	"github.com/medprobe/medprobe/examples"
	"github.com/medprobe/medprobe/experiment"
	"github.com/medprobe/medprobe/internal/near"
	"github.com/medprobe/medprobe/trainer"
	"github.com/spf13/cobra"
)

// settings holds the flags that every command has, and opens what they name.
type settings struct {
	*ui
	cache, ortLib, device string
	seed                  uint64
	// allowOutside and allowRemote let image paths lead out of their folder and
	// onto the network; idKey is a file with the key that ids are hidden under.
	allowOutside, allowRemote bool
	idKey                     string
	// registry is the folder of the registry.
	registry string
}

func (s *settings) openCache(ctx context.Context) (*embedcache.Cache, error) {
	path, err := s.cachePath()
	if err != nil {
		return nil, err
	}
	cache, err := embedcache.Open(ctx, path)
	if _, ok := errors.AsType[*fs.PathError](err); ok && !embedcache.IsRemote(path) {
		err = fmt.Errorf("%w; name another file with --cache or MEDPROBE_CACHE", err)
	}
	return cache, err
}

func (s *settings) cachePath() (string, error) {
	if s.cache != "" {
		return s.cache, nil
	}
	return embedcache.DefaultPath()
}

// openEncoder opens an imported encoder. The one called demo is imported on
// first use from the copy inside the program.
func (s *settings) openEncoder(ctx context.Context, name, profile string) (*encoder.Encoder, error) {
	dir, err := encoder.DefaultDir()
	if err != nil {
		return nil, err
	}
	if name == examples.DemoEncoder {
		if err := importDemo(ctx, dir); err != nil {
			return nil, err
		}
	}
	return encoder.Open(dir, name, encoder.Options{Library: s.ortLib, Profile: encoder.Profile(profile), Device: s.device})
}

// using opens an encoder, lets do use it and closes it.
func (s *settings) using(ctx context.Context, name, profile string, do func(*encoder.Encoder) error) (err error) {
	e, err := s.openEncoder(ctx, name, profile)
	if err != nil {
		return err
	}
	defer closing(e, &err)
	return do(e)
}

// usingCache is using with the cache of vectors open too.
func (s *settings) usingCache(ctx context.Context, name, profile string, do func(*encoder.Encoder, *embedcache.Cache) error) error {
	return s.using(ctx, name, profile, func(e *encoder.Encoder) (err error) {
		cache, err := s.openCache(ctx)
		if err != nil {
			return err
		}
		defer closing(cache, &err)
		return do(e, cache)
	})
}

// usingVectors is usingCache, but where no encoder of the name is imported, vectors
// that were imported under it do as well.
func (s *settings) usingVectors(ctx context.Context, name, profile string, do func(experiment.Encoder, *embedcache.Cache) error) (err error) {
	cache, err := s.openCache(ctx)
	if err != nil {
		return err
	}
	defer closing(cache, &err)
	return s.usingNamed(ctx, cache, name, profile, func(e experiment.Encoder) error { return do(e, cache) })
}

// usingNamed lets do use the encoder of the name, or vectors of the cache.
func (s *settings) usingNamed(ctx context.Context, cache *embedcache.Cache, name, profile string, do func(experiment.Encoder) error) error {
	here, err := s.manifest(name)
	if err != nil {
		return err
	}
	if here == nil {
		vectors, err := cache.Vectors(ctx, name)
		if err == nil {
			return do(vectors)
		}
		if !errors.Is(err, embedcache.ErrNotStored) {
			return err
		}
	}
	return s.using(ctx, name, profile, func(e *encoder.Encoder) error { return do(e) })
}

// usingMultiplier lets do multiply matrices by ONNX Runtime; where there is
// none, and none was asked for, by nil, which goes more slowly.
func (s *settings) usingMultiplier(do func(trainer.Multiplier) error) (err error) {
	if _, _, err := encoder.FindRuntime(s.ortLib); err != nil {
		if s.ortLib != "" {
			return err
		}
		return do(nil)
	}
	m, err := encoder.NewMultiplier()
	if err != nil {
		return err
	}
	defer closing(m, &err)
	return do(m)
}

// importDemo puts the encoder that comes with medprobe into the store, unless
// the same one is there.
func importDemo(ctx context.Context, dir string) error {
	source := fmt.Sprintf("medprobe %s %s, graphs of revision %d", examples.DemoEncoder, examples.DemoEncoderDigest(), encoder.GraphRevision)
	if m, err := encoder.Show(dir, examples.DemoEncoder); err == nil && m.Source == source {
		return nil
	}
	if err := writableFolder(dir); err != nil {
		return fmt.Errorf("encoders %s: %w; name another folder with MEDPROBE_ENCODERS", dir, err)
	}
	tmp, err := os.MkdirTemp("", "medprobe-demo-")
	if err != nil {
		return fmt.Errorf("temporary folder: %w; name another with TMPDIR", err)
	}
	defer os.RemoveAll(tmp)
	if err := examples.WriteDemoEncoder(tmp); err != nil {
		return err
	}
	_, err = encoder.Import(ctx, tmp, encoder.ImportOptions{Dir: dir, Name: examples.DemoEncoder, Source: source})
	return err
}

// encoderFlags are the flags of the commands that need an encoder.
type encoderFlags struct{ name, profile string }

func (f *encoderFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.name, "encoder", "", "name of an imported encoder, or demo (required)")
	profiles := encoder.Profiles()
	cmd.Flags().StringVar(&f.profile, "preprocess", profiles[0], "preprocessing profile: "+strings.Join(profiles, ", "))
}

func (f *encoderFlags) check(cmd *cobra.Command) error {
	if f.name == "" {
		return usagef(cmd, "--encoder is missing; 'medprobe encoder list' shows what is imported, demo comes with medprobe")
	}
	if err := near.Check("--preprocess", f.profile, encoder.Profiles()); err != nil {
		return usagef(cmd, "%w", err)
	}
	return nil
}

// jsonFlag adds --json, which every command has that reports something.
func jsonFlag(cmd *cobra.Command, asJSON *bool) {
	cmd.Flags().BoolVar(asJSON, "json", false, "print one JSON document")
}

// texts returns the arguments and the strings of a JSON file, if one is named.
func texts(cmd *cobra.Command, args []string, file string) ([]string, error) {
	all := args
	if file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		more, err := parseTexts(data)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		all = append(all, more...)
	}
	if len(all) == 0 {
		return nil, usagef(cmd, "no text: give texts as arguments, or a file with a JSON array of strings, [\"effusion\", \"no effusion\"]")
	}
	return all, nil
}

func parseTexts(data []byte) ([]string, error) {
	var elements []any
	if err := json.Unmarshal(data, &elements); err != nil {
		return nil, errors.New("want a JSON array of strings")
	}
	texts := make([]string, len(elements))
	for i, e := range elements {
		var ok bool
		if texts[i], ok = e.(string); !ok {
			return nil, fmt.Errorf("element %d is %v: want a JSON array of strings", i, e)
		}
	}
	return texts, nil
}

// needFlags is a usage error that names the flags which were not given.
func needFlags(cmd *cobra.Command, names ...string) error {
	var missing []string
	for _, name := range names {
		if cmd.Flag(name).Value.String() == "" {
			missing = append(missing, "--"+name)
		}
	}
	switch len(missing) {
	case 0:
		return nil
	case 1:
		what := strings.TrimSuffix(cmd.Flag(strings.TrimPrefix(missing[0], "--")).Usage, " (required)")
		return usagef(cmd, "%s is missing: %s", missing[0], what)
	}
	return usagef(cmd, "%s are missing", strings.Join(missing, ", "))
}

// closing adds the error of Close to the error a function is about to return.
func closing(c io.Closer, err *error) { *err = errors.Join(*err, c.Close()) }

func orDash(text string) string { return cmp.Or(text, "–") }
