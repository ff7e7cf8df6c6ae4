package report

import (
	"io"

	"github.com/medprobe/medprobe/evaluate"
)

// JSON writes the report as the document that [evaluate.ReadReport] reads; see
// [evaluate.Report.WriteJSON].
func JSON(w io.Writer, r *evaluate.Report) error { return r.WriteJSON(w) }
