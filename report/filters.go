package report

import (
	"strconv"

	"github.com/medprobe/medprobe/evaluate"
)

// filters are the choices that the script offers.
type filters struct {
	Findings []filterChoice
	Methods  []filterChoice
}

type filterChoice struct{ Value, Name string }

// newFilters returns nil where there is nothing to choose from.
func newFilters(r *evaluate.Report) *filters {
	var f filters
	if len(r.Findings) > 1 {
		for _, finding := range r.Findings {
			f.Findings = append(f.Findings, filterChoice{finding.Name, findingName(finding)})
		}
	}
	if methods := methodsOf(r); len(methods) > 1 {
		for k, m := range methods {
			f.Methods = append(f.Methods, filterChoice{strconv.Itoa(k), methodName(m)})
		}
	}
	if f.Findings == nil && f.Methods == nil {
		return nil
	}
	return &f
}
