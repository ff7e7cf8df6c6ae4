package encoder

import (
	"context"
	"errors"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// ErrNoText says that an encoder has no text tower, so that prompts cannot be
// encoded.
var ErrNoText = errors.New("the encoder has no text tower")

// Options says how to open an encoder.
type Options struct {
	// Library is the ONNX Runtime library; empty: see [FindRuntime].
	Library string
	// Profile is the preprocessing; empty: the encoder's own.
	Profile Profile
	// Threads of one run; 0: one per CPU.
	Threads int
	// Device is where the towers run: see [CheckDevice]; empty is the CPU.
	Device string
}

// Encoder is an open encoder. Its methods are safe for concurrent use. Each
// tower is loaded when it is first needed.
type Encoder struct {
	manifest   Manifest
	preprocess *preprocessor
	tokenizer  *tokenizer
	classifier *Classifier
	vision     func() (*session, error)
	text       func() (*session, error)

	mu     sync.Mutex
	open   []*session
	closed bool
}

// Open opens the encoder of a name in the folder dir; see [DefaultDir].
func Open(dir, name string, o Options) (*Encoder, error) {
	m, err := Show(dir, name)
	if err != nil {
		return nil, err
	}
	e := &Encoder{manifest: *m}
	folder := filepath.Join(dir, name)
	if o.Profile == "" {
		o.Profile = Profile(m.Preprocess)
	}
	if e.preprocess, err = loadPreprocessor(filepath.Join(folder, preprocessorFile), m.ImageSize, o.Profile); err != nil {
		return nil, fmt.Errorf("encoder: open %s: %w", name, err)
	}
	if m.HasText {
		if e.tokenizer, err = loadTokenizer(filepath.Join(folder, vocabularyFile)); err != nil {
			return nil, fmt.Errorf("encoder: open %s: %w", name, err)
		}
	}
	if e.classifier, err = loadClassifier(dir, name); err != nil {
		return nil, err
	}
	if _, _, err := FindRuntime(o.Library); err != nil {
		return nil, err
	}
	if err := CheckDevice(o.Device); err != nil {
		return nil, fmt.Errorf("encoder: open %s: %w", name, err)
	}
	load := func(g Graph) func() (*session, error) {
		return sync.OnceValues(func() (*session, error) {
			e.mu.Lock()
			defer e.mu.Unlock()
			if e.closed {
				return nil, fmt.Errorf("encoder: %s: %w", name, os.ErrClosed)
			}
			s, err := newSession(filepath.Join(folder, g.File), g, o)
			if errors.Is(err, ErrDevice) {
				return nil, fmt.Errorf("encoder: %w", err)
			}
			if err != nil {
				return nil, fmt.Errorf("encoder: %w; import %s again", err, name)
			}
			e.open = append(e.open, s)
			return s, nil
		})
	}
	e.vision, e.text = load(*m.vision()), load(*m.text())
	return e, nil
}

// Close waits for runs under way and frees the towers. What is asked of the
// encoder afterwards fails with [os.ErrClosed].
func (e *Encoder) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var errs []error
	for _, s := range e.open {
		errs = append(errs, s.close())
	}
	e.open, e.closed = nil, true
	return errors.Join(errs...)
}

// Name returns the name the encoder was imported under.
func (e *Encoder) Name() string { return e.manifest.Name }

// Source is where the encoder came from, in its importer's words.
func (e *Encoder) Source() string { return e.manifest.Source }

// License is what the source said of its terms; empty where it said nothing.
func (e *Encoder) License() string { return e.manifest.License }

// Fingerprint names the weights, graphs, vocabulary and precision: encoders of
// one fingerprint give the same vectors for the same pixels.
func (e *Encoder) Fingerprint() string { return e.manifest.Fingerprint }

// PreprocessFingerprint names everything that turns an image into pixels.
func (e *Encoder) PreprocessFingerprint() string { return e.preprocess.Fingerprint() }

// Profile returns the preprocessing profile in use.
func (e *Encoder) Profile() Profile { return e.preprocess.profile }

// Dim returns the length of a vector.
func (e *Encoder) Dim() int { return e.manifest.Dim }

// ImageSize returns the side of the square the encoder sees, in pixels.
func (e *Encoder) ImageSize() int { return e.manifest.ImageSize }

// HasText reports whether there is a text tower.
func (e *Encoder) HasText() bool { return e.manifest.HasText }

// LogitScale returns exp(logit_scale): logits are image·text·LogitScale +
// LogitBias, for vectors of length one. It is 0 where the encoder's source did
// not say it.
func (e *Encoder) LogitScale() float64 { return e.manifest.LogitScale }

// LogitBias returns logit_bias.
func (e *Encoder) LogitBias() float64 { return e.manifest.LogitBias }

// Preprocess turns an image into what the encoder sees: [3·size·size], channel
// by channel.
func (e *Encoder) Preprocess(img image.Image) ([]float32, error) { return e.preprocess.Pixels(img) }

// EncodePixels returns one vector [Dim] per image of [3·ImageSize·ImageSize]
// pixels, in order, as the tower gives it: not of length one. A vector that is
// not finite is an error.
func (e *Encoder) EncodePixels(ctx context.Context, pixels [][]float32) ([][]float32, error) {
	return e.encodePixels(ctx, pixels, 0)
}

// encodePixels counts the images from first in what it says of them.
func (e *Encoder) encodePixels(ctx context.Context, pixels [][]float32, first int) ([][]float32, error) {
	size := e.manifest.ImageSize
	for i, p := range pixels {
		if len(p) != 3*size*size {
			return nil, fmt.Errorf("encoder: image %d has %d pixel values: want 3·%d·%d", first+i, len(p), size, size)
		}
	}
	s, err := e.vision()
	if err != nil {
		return nil, err
	}
	vectors, err := run(ctx, s, s.graph.arrange(pixels, size), s.graph.imageShape(int64(size))...)
	if err != nil {
		return nil, fmt.Errorf("encoder: images: %w", err)
	}
	if i := notFinite(vectors); i >= 0 {
		return nil, fmt.Errorf("encoder: image %d: %s gives a vector that is not finite", first+i, e.Name())
	}
	return vectors, nil
}

// EncodeImages preprocesses and encodes the images; see [Encoder.EncodePixels].
func (e *Encoder) EncodeImages(ctx context.Context, images []image.Image) ([][]float32, error) {
	var vectors [][]float32
	for batch := range slices.Chunk(images, maxBatch) {
		pixels := make([][]float32, len(batch))
		for i, img := range batch {
			var err error
			if pixels[i], err = e.Preprocess(img); err != nil {
				return nil, fmt.Errorf("encoder: image %d: %w", len(vectors)+i, err)
			}
		}
		some, err := e.encodePixels(ctx, pixels, len(vectors))
		if err != nil {
			return nil, err
		}
		vectors = append(vectors, some...)
	}
	return vectors, nil
}

// Tokenize returns the 64 ids of a text, as Hugging Face's slow SiglipTokenizer gives
// them: longer texts are cut after 63, shorter ones filled up with </s>. An encoder
// without a text tower has none.
func (e *Encoder) Tokenize(text string) []int64 {
	if e.tokenizer == nil {
		return nil
	}
	return e.tokenizer.Encode(text)
}

// Cut returns how many tokens of the text are not read, because it is longer
// than the 63 that the text tower sees; 0 without a text tower.
func (e *Encoder) Cut(text string) int {
	if e.tokenizer == nil {
		return 0
	}
	return e.tokenizer.Cut(text)
}

// EncodeTexts returns one vector [Dim] per text, in order, as the tower gives
// it: not of length one. Texts that stand several times are encoded once.
func (e *Encoder) EncodeTexts(ctx context.Context, texts []string) ([][]float32, error) {
	if err := e.NoText(); err != nil {
		return nil, err
	}
	place := map[string]int{}
	var ids [][]int64
	for _, text := range texts {
		if _, ok := place[text]; !ok {
			place[text] = len(ids)
			ids = append(ids, e.tokenizer.Encode(text))
		}
	}
	distinct, err := e.encodeIDs(ctx, ids)
	if err != nil {
		return nil, err
	}
	if i := notFinite(distinct); i >= 0 {
		first := slices.IndexFunc(texts, func(text string) bool { return place[text] == i })
		return nil, fmt.Errorf("encoder: text %d, %.60q: %s gives a vector that is not finite", first, texts[first], e.Name())
	}
	vectors := make([][]float32, len(texts))
	for i, text := range texts {
		vectors[i] = slices.Clone(distinct[place[text]])
	}
	return vectors, nil
}

// NoText returns [ErrNoText] for an encoder without a text tower, with the reason
// where that is known.
func (e *Encoder) NoText() error {
	if e.manifest.HasText {
		return nil
	}
	if e.manifest.NoText != "" {
		return fmt.Errorf("encoder: %s: %w: %s", e.manifest.Name, ErrNoText, e.manifest.NoText)
	}
	return fmt.Errorf("encoder: %s: %w", e.manifest.Name, ErrNoText)
}

func (e *Encoder) encodeIDs(ctx context.Context, ids [][]int64) ([][]float32, error) {
	s, err := e.text()
	if err != nil {
		return nil, err
	}
	vectors, err := run(ctx, s, ids, textLength)
	if err != nil {
		return nil, fmt.Errorf("encoder: texts: %w", err)
	}
	return vectors, nil
}
