package evaluate

// External is a further dataset that every method of a report was tried on, all of
// it: none of its samples was trained, calibrated or chosen on.
type External struct {
	Name    string       `json:"name"`
	Dataset DatasetFacts `json:"dataset"`
	Counts  Counts       `json:"counts"`
	// Absent names findings of the experiment that the data does not know.
	Absent []string `json:"absent"`
	// Findings are the others, judged as those of the test part, without drawings.
	Findings []Finding `json:"findings"`
	Macro    *Macro    `json:"macro"`
	// Shared samples are, to the byte or the pixel, also in the part train, and were
	// left out unless the experiment says to warn only; NearTrain have a vector that
	// is nearly one of train's.
	Shared    int `json:"shared_with_train"`
	NearTrain int `json:"near_train"`
	// Drift compares it with the test part, by the probabilities of the first head;
	// the findings' AUC too.
	Drift    *Drift   `json:"drift"`
	Warnings []string `json:"warnings,omitempty"`
}
