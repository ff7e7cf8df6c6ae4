package datasets

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// Digest names the dataset by what it says: the SHA-256, in hex, over the task, the
// classes and each sample's id, labels or values, patient, study, part, region, frame
// and, where digests are given (one per sample), content. It changes neither with the
// order of rows nor with the folder the data lies in.
func Digest(d *Dataset, digests [][sha256.Size]byte) string {
	h := sha256.New()
	out := json.NewEncoder(h) // one line a sample; writing to a hash cannot fail
	out.Encode([]any{"medprobe dataset 1", d.Task, d.Classes})
	for i := range d.Samples {
		s := &d.Samples[i]
		content := ""
		if digests != nil {
			content = hex.EncodeToString(digests[i][:])
		}
		labels := any(s.Labels)
		if s.Values != nil {
			labels = valueTexts(s.Values) // numbers, in which NaN stands for unknown, are no JSON
		}
		out.Encode([]any{s.ID, labels, s.Patient, s.Study, s.Split, s.Source.Region.String(), s.Source.Frame, content})
	}
	return hex.EncodeToString(h.Sum(nil))
}
