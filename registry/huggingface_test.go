package registry

import (
	"testing"

	"github.com/medprobe/medprobe/evaluate"
)

// The front matter says of the encoder what the encoder's source says, and nothing of
// one that says nothing: a head on another encoder is not derived from MedSigLIP.
func TestFrontMatterNamesTheEncoderItIsMadeWith(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		encoder evaluate.EncoderFacts
		want    frontMatter
	}{
		"MedSigLIP": {
			evaluate.EncoderFacts{Source: "google/medsiglip-448", License: "other, health-ai-developer-foundations, https://developers.google.com/health-ai-developer-foundations/terms"},
			frontMatter{License: "other", LicenseName: "health-ai-developer-foundations", LicenseLink: "https://developers.google.com/health-ai-developer-foundations/terms", BaseModel: "google/medsiglip-448"},
		},
		"a free one":            {evaluate.EncoderFacts{Source: "facebook/dinov2-base", License: "apache-2.0"}, frontMatter{License: "apache-2.0", BaseModel: "facebook/dinov2-base"}},
		"a link, then a name":   {evaluate.EncoderFacts{License: "other, https://example.org/terms, ours"}, frontMatter{License: "other", LicenseName: "ours", LicenseLink: "https://example.org/terms"}},
		"a link to a file":      {evaluate.EncoderFacts{License: "other, ours, LICENSE"}, frontMatter{License: "other", LicenseName: "ours", LicenseLink: "LICENSE"}},
		"a folder of one's own": {evaluate.EncoderFacts{Source: "checkpoint-300"}, frontMatter{License: "unknown"}},
		"one that was drawn":    {evaluate.EncoderFacts{Source: "medprobe demo 12ab, graphs of revision 2"}, frontMatter{License: "unknown"}},
		"a path":                {evaluate.EncoderFacts{Source: "../../a"}, frontMatter{License: "unknown"}},
		"nothing":               {evaluate.EncoderFacts{}, frontMatter{License: "unknown"}},
	} {
		var got frontMatter
		got.ofEncoder(c.encoder)
		if got.License != c.want.License || got.LicenseName != c.want.LicenseName || got.LicenseLink != c.want.LicenseLink || got.BaseModel != c.want.BaseModel {
			t.Errorf("%s: %+v: want %+v", name, got, c.want)
		}
	}
}
