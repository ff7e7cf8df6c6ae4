package evaluate

import _ "embed"

// ReportSchema is the JSON Schema (draft 2020-12) of a [Report]'s JSON, made from
// its types and their comments. What it requires is always there; fields that it
// does not know may be added by later versions of the same number.
//
//go:embed report.schema.json
var ReportSchema []byte
