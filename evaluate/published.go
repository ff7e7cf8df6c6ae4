package evaluate

import "strings"

// Published is a figure of others, measured on another test set.
type Published struct {
	Finding string `json:"finding"`
	Domain  string `json:"domain"`
	// N is the number of test examples.
	N int `json:"n"`
	// ZeroShot and Probe are AUCs of MedSigLIP at 448×448 pixels, and Other is
	// that of an older model: nil where none was published.
	ZeroShot *float64 `json:"zero_shot"`
	Probe    *float64 `json:"probe"`
	Other    *float64 `json:"other"`
	OtherIs  string   `json:"other_is,omitempty"`
	Source   string   `json:"source"`
}

// publishedFor returns the published figures for a finding of that name, in
// whatever case and punctuation, or none.
func publishedFor(finding string) []Published {
	var found []Published
	for _, p := range published {
		if letters(p.Finding) == letters(finding) {
			found = append(found, p)
		}
	}
	return found
}

// letters returns the letters and digits of a name in lower case.
func letters(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(name))
}

// AddPublished fills Published for the report's findings. Drawn images have no
// published counterpart.
func (r *Report) AddPublished() {
	r.Published = nil
	if r.Synthetic {
		return
	}
	for _, f := range r.Findings {
		r.Published = append(r.Published, publishedFor(f.Name)...)
	}
}

const modelCard = "MedSigLIP 1.0.0 model card; MedGemma technical report, arXiv 2507.05201"

func chest(finding string, zeroShot, elixr float64) Published {
	return Published{Finding: finding, Domain: "chest X-ray", N: 518, ZeroShot: &zeroShot, Other: &elixr, OtherIs: "ELIXR zero-shot, 1280×1280", Source: modelCard}
}

func task(domain, finding string, n int, zeroShot, probe, older float64) Published {
	p := Published{Finding: finding, Domain: domain, N: n, ZeroShot: &zeroShot, Probe: &probe, Source: modelCard}
	if older > 0 {
		p.Other, p.OtherIs = &older, "linear probe on the older model of one domain"
	}
	return p
}

// published is the whole of the two published tables.
var published = []Published{
	chest("Enlarged Cardiomediastinum", 0.858, 0.800),
	chest("Cardiomegaly", 0.904, 0.891),
	chest("Lung Opacity", 0.931, 0.888),
	chest("Lung Lesion", 0.822, 0.747),
	chest("Consolidation", 0.880, 0.875),
	chest("Edema", 0.891, 0.880),
	chest("Pneumonia", 0.864, 0.881),
	chest("Atelectasis", 0.836, 0.754),
	chest("Pneumothorax", 0.862, 0.800),
	chest("Pleural Effusion", 0.914, 0.930),
	chest("Pleural Other", 0.650, 0.729),
	chest("Fracture", 0.708, 0.637),
	chest("Support Devices", 0.852, 0.894),
	task("dermatology", "skin conditions", 1612, 0.851, 0.881, 0.843),
	task("ophthalmology", "diabetic retinopathy", 3161, 0.759, 0.857, 0),
	task("pathology", "invasive breast cancer", 5000, 0.933, 0.930, 0.943),
	task("pathology", "breast NP", 5000, 0.721, 0.727, 0.758),
	task("pathology", "breast TF", 5000, 0.780, 0.790, 0.832),
	task("pathology", "cervical dysplasia", 5000, 0.889, 0.864, 0.898),
	task("pathology", "prostate needle core biopsy", 5000, 0.892, 0.886, 0.915),
	task("pathology", "radical prostatectomy", 5000, 0.896, 0.887, 0.921),
	task("pathology", "TCGA study types", 5000, 0.922, 0.970, 0.964),
	task("pathology", "tissue types", 5000, 0.930, 0.972, 0.947),
}
