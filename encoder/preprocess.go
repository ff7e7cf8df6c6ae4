package encoder

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"image"

	"github.com/medprobe/medprobe/internal/near"
)

// Profile names one of the ways in which images are turned into pixels.
// MedSigLIP's own material uses all three.
type Profile string

const (
	// ProfileHF stretches to the square with Pillow's resize, as Hugging Face's
	// SiglipImageProcessor does. It is the default. Where an encoder's
	// preprocessor_config.json asks for a centre crop, as CLIP's and DINOv2's do,
	// the shorter side is resized and the middle cut out.
	ProfileHF Profile = "hf"
	// ProfileBigVision stretches with TensorFlow's bilinear resize without
	// antialiasing and cuts the result to uint8, as Google's evaluations did.
	ProfileBigVision Profile = "big-vision"
	// ProfilePadded pads with black to a square first, ⌊d/2⌋ before and the rest
	// after, as training and the serving container did.
	ProfilePadded Profile = "padded"
)

// preprocessRevision changes whenever the same file gives other pixels, be it by
// what stands here or by internal/raster, which decodes it.
const preprocessRevision = 3

// maxSide bounds the table of a filter's weights, which grows with the side.
const maxSide = 1 << 22

// preprocessorConfig is the part of preprocessor_config.json that counts; the
// defaults are SiglipImageProcessor's.
type preprocessorConfig struct {
	DoResize      bool       `json:"do_resize"`
	DoRescale     bool       `json:"do_rescale"`
	DoNormalize   bool       `json:"do_normalize"`
	Resample      int        `json:"resample"`
	RescaleFactor float64    `json:"rescale_factor"`
	Mean          [3]float32 `json:"image_mean"`
	Std           [3]float32 `json:"image_std"`
	Size          sizeConfig `json:"size"`
	Crop          sizeConfig `json:"crop_size"`
	DoCrop        bool       `json:"do_center_crop"`
}

// sizeConfig is a size: both sides, or the shorter one, or a plain number, which
// older files have for the one or the other.
type sizeConfig struct {
	Height   int `json:"height"`
	Width    int `json:"width"`
	Shortest int `json:"shortest_edge"`
	plain    int
}

func (s *sizeConfig) UnmarshalJSON(data []byte) error {
	if json.Unmarshal(data, &s.plain) == nil {
		return nil
	}
	type fields sizeConfig
	return json.Unmarshal(data, (*fields)(s))
}

// square returns the side of the square that the images are stretched to or, for
// a centre crop, of the crop, and then the shorter side before it; 0 for what is
// not said.
func (c *preprocessorConfig) square() (side, shortest int, err error) {
	s := c.Size
	if !c.DoCrop {
		if s.Shortest != 0 {
			return 0, 0, fmt.Errorf("size of the shortest edge %d without do_center_crop: want images of one size", s.Shortest)
		}
		s.Height, s.Width = cmp.Or(s.Height, s.plain), cmp.Or(s.Width, s.plain)
		if s.Height != s.Width {
			return 0, 0, fmt.Errorf("size %d×%d: want a square", s.Height, s.Width)
		}
		return s.Height, 0, nil
	}
	height, width := cmp.Or(c.Crop.Height, c.Crop.plain), cmp.Or(c.Crop.Width, c.Crop.plain)
	shortest = cmp.Or(s.Shortest, s.plain)
	switch {
	case height != width || height == 0:
		return 0, 0, fmt.Errorf("crop_size %d×%d: want a square", height, width)
	case shortest < height && (s.Height != height || s.Width != width):
		return 0, 0, fmt.Errorf("size of the shortest edge %d: want at least the crop's %d", shortest, height)
	}
	return height, shortest, nil
}

func defaultPreprocessor() preprocessorConfig {
	half := [3]float32{.5, .5, .5}
	return preprocessorConfig{DoResize: true, DoRescale: true, DoNormalize: true, Resample: 3, RescaleFactor: 1. / 255, Mean: half, Std: half}
}

// Profiles lists the profiles, the default first.
func Profiles() []string {
	return []string{string(ProfileHF), string(ProfileBigVision), string(ProfilePadded)}
}

// preprocessor turns images into what an encoder sees. It is safe for
// concurrent use.
type preprocessor struct {
	config      preprocessorConfig
	profile     Profile
	size        int
	shortest    int // the shorter side before a centre crop; 0: stretched to the square
	filter      filter
	fingerprint string
	// values holds the float of each byte by channel.
	values [3][256]float32
}

// loadPreprocessor reads a preprocessor_config.json for an encoder that sees
// squares of imageSize pixels.
func loadPreprocessor(path string, imageSize int, profile Profile) (*preprocessor, error) {
	if err := near.Check("preprocessing profile", string(profile), Profiles()); err != nil {
		return nil, err
	}
	c := defaultPreprocessor()
	if err := readJSON(path, &c); err != nil {
		return nil, err
	}
	filter, ok := filters[c.Resample]
	side, shortest, err := c.square()
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	case !c.DoResize || !c.DoRescale || !c.DoNormalize:
		return nil, fmt.Errorf("%s: do_resize, do_rescale and do_normalize must all be true", path)
	case !ok:
		return nil, fmt.Errorf("%s: resample %d: want 2 (bilinear) or 3 (bicubic)", path, c.Resample)
	case side != 0 && side != imageSize:
		return nil, fmt.Errorf("%s: size %d×%d, the encoder sees %d×%d", path, side, side, imageSize, imageSize)
	case !(c.RescaleFactor > 0) || !(c.Std[0] > 0) || !(c.Std[1] > 0) || !(c.Std[2] > 0):
		return nil, fmt.Errorf("%s: rescale_factor %v and image_std %v: want them above 0", path, c.RescaleFactor, c.Std)
	}
	p := &preprocessor{config: c, profile: profile, size: imageSize, shortest: shortest, filter: filter}
	for channel := range p.values {
		for v := range p.values[channel] {
			// Rescaled in double, stored as float, normalised in float: the order
			// of transformers' image_transforms.
			scaled := float32(float64(v) * c.RescaleFactor)
			p.values[channel][v] = (scaled - c.Mean[channel]) / c.Std[channel]
		}
	}
	identity := fmt.Appendf(nil, "medprobe preprocess %d\n%s %d %d %v %v %v\n", preprocessRevision, profile, imageSize, c.Resample, c.RescaleFactor, c.Mean, c.Std)
	if shortest != 0 {
		identity = fmt.Appendf(identity, "crop of %d\n", shortest)
	}
	sum := sha256.Sum256(identity)
	p.fingerprint = hex.EncodeToString(sum[:])
	return p, nil
}

// Fingerprint names everything that decides the pixels of an image: profile,
// size, filter, mean, deviation and the revision of this code.
func (p *preprocessor) Fingerprint() string { return p.fingerprint }

// Pixels returns the image as [3, size, size] float32, red first: stretched or
// padded to the square, then (byte·rescale_factor − mean)/std. Grey is repeated
// to three channels, alpha is dropped, 16 bits are scaled by their maximum to
// 8. What EXIF says of the orientation is the caller's to apply.
//
// Oracle: Pillow 9.4 and NumPy (testdata/preprocess). Resizing equals Pillow's to
// the bit for hf and padded, and tf.image.resize's rule for big-vision; colours
// equal Pillow's but for lossy JPEG, where another inverse cosine transform moves
// 1.5 % of the bytes by one step, .018 in the mean over all and 3 at most (91
// photographs), and the cosine of a vector by 3e-6 at most.
func (p *preprocessor) Pixels(img image.Image) ([]float32, error) {
	b := img.Bounds()
	if b.Empty() {
		return nil, fmt.Errorf("image of %d×%d pixels: want at least one", b.Dx(), b.Dy())
	}
	if b.Dx() > maxSide || b.Dy() > maxSide {
		return nil, fmt.Errorf("image of %d×%d pixels: want at most %d a side", b.Dx(), b.Dy(), maxSide)
	}
	rgb := newRGB(img)
	switch p.profile {
	case ProfileBigVision:
		rgb = rgb.resizeBilinear(p.size, p.size)
	case ProfilePadded:
		rgb = rgb.resizePadded(p.filter, p.size)
	default:
		if p.shortest != 0 {
			rgb = rgb.resizeCropped(p.filter, p.shortest, p.size)
			break
		}
		rgb = rgb.resize(p.filter, p.size, p.size)
	}
	out := make([]float32, 3*p.size*p.size)
	for channel := range 3 {
		plane := out[channel*p.size*p.size:]
		for i := range p.size * p.size {
			plane[i] = p.values[channel][rgb.pix[3*i+channel]]
		}
	}
	return out, nil
}
