package datasets

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
)

// hide replaces everything that names a patient or a file by an HMAC-SHA256
// under the key, of 64 bits: samples of one patient still belong together, and
// without the key nobody can tell whose they are. The pixels are still found.
func (d *Dataset) hide(key []byte) {
	if len(key) == 0 {
		return
	}
	pseudonym := func(kind, name string) string {
		if name == "" {
			return ""
		}
		h := hmac.New(sha256.New, key)
		h.Write([]byte(kind + "\x00" + name))
		return hex.EncodeToString(h.Sum(nil)[:8])
	}
	for i := range d.Samples {
		s := &d.Samples[i]
		s.ID, s.Patient = pseudonym("sample", s.ID), pseudonym("patient", s.Patient)
		s.Study, s.Series = pseudonym("study", s.Study), pseudonym("series", s.Series)
	}
	for i := range d.Excluded {
		d.Excluded[i].ID, d.Excluded[i].Reason = pseudonym("sample", d.Excluded[i].ID), "left out; read it without a key to see why"
	}
}
