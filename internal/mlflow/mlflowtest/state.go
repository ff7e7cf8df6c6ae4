package mlflowtest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

type state struct {
	Experiments map[string]string // id by name
	Runs        map[string]*run
	Models      map[string]*model
}

type run struct {
	ID, Experiment, Name, Status string
	Start, End                   int64
	Params, Tags                 map[string]string
	Metrics                      []metric // the whole history
	Artifacts                    map[string]string
}

type metric struct {
	Key       string  `json:"key"`
	Value     float64 `json:"value"`
	Timestamp int64   `json:"timestamp"`
	Step      int64   `json:"step"`
}

type model struct {
	Description string
	Versions    []*version
	Aliases     map[string]string
	// Moves is how often an alias was set to something else.
	Moves int
}

type version struct {
	Source, Run, Description string
	Tags                     map[string]string
	asked                    int
}

func (s *state) init() {
	s.Experiments, s.Runs, s.Models = map[string]string{}, map[string]*run{}, map[string]*model{}
}

// place is where the run's artefacts lie in the store.
func (r *run) place() string { return r.Experiment + "/" + r.ID + "/artifacts" }

// State returns all that the server was told, with the digests of artefacts, in a
// form that can be compared.
func (s *Server) State() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.state.Runs {
		r.Artifacts = s.artifacts(r)
	}
	text, err := json.MarshalIndent(s.state, "", " ")
	if err != nil {
		panic(err)
	}
	return string(text)
}

func (s *Server) artifacts(r *run) map[string]string {
	files := map[string]string{}
	for at, b := range s.blobs {
		if name, ok := strings.CutPrefix(at, r.place()+"/"); ok {
			sum := sha256.Sum256(b)
			files[name] = hex.EncodeToString(sum[:])
		}
	}
	return files
}

// Blob returns an artefact of the only run.
func (s *Server) Blob(name string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.state.Runs {
		return s.blobs[r.place()+"/"+name]
	}
	return nil
}

// HalfVisible says what is to be seen that is not whole: a version whose run is not
// finished or lacks one of the files, or an alias that points nowhere.
func (s *Server) HalfVisible(files int) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.HalfVisibleNow(files)
}

// HalfVisibleNow is HalfVisible for the function Fault, which is called while the
// server is still.
func (s *Server) HalfVisibleNow(files int) (what []string) {
	for _, r := range s.state.Runs {
		if n := len(s.artifacts(r)); r.Status == "FINISHED" && (n != files || len(r.Params) == 0 || len(r.Metrics) == 0) {
			what = append(what, fmt.Sprintf("run %s is finished with %d files, %d parameters, %d metrics", r.ID, n, len(r.Params), len(r.Metrics)))
		}
	}
	for name, m := range s.state.Models {
		for i, v := range m.Versions {
			if s.state.Runs[v.Run].Status != "FINISHED" {
				what = append(what, fmt.Sprintf("version %d of %s has a run that is not finished", i+1, name))
			}
		}
		for alias, v := range m.Aliases {
			if n, err := strconv.Atoi(v); err != nil || n < 1 || n > len(m.Versions) {
				what = append(what, fmt.Sprintf("alias %s of %s points at %q", alias, name, v))
			}
		}
	}
	return what
}

// Counts are how many runs and versions there are.
func (s *Server) Counts() (runs, versions int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.state.Models {
		versions += len(m.Versions)
	}
	return len(s.state.Runs), versions
}

// Alias returns the version that an alias points at, or "".
func (s *Server) Alias(name, alias string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.state.Models[name]; m != nil {
		return m.Aliases[alias]
	}
	return ""
}

// Metric returns a logged metric and how often it was logged.
func (s *Server) Metric(key string) (value float64, times int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.state.Runs {
		for _, m := range r.Metrics {
			if m.Key == key {
				value, times = m.Value, times+1
			}
		}
	}
	return value, times
}

// newRun adds a run, whose id is its number's digest.
func (s *Server) newRun(experiment, name string, start int64) *run {
	sum := sha256.Sum256(fmt.Append(nil, len(s.state.Runs)))
	r := &run{ID: hex.EncodeToString(sum[:16]), Experiment: experiment, Name: name, Status: "RUNNING", Start: start, Params: map[string]string{}, Tags: map[string]string{}}
	s.state.Runs[r.ID] = r
	return r
}

// log adds a metric as SqlAlchemyStore does: the same one again is the same.
func (r *run) log(m metric) {
	if !slices.Contains(r.Metrics, m) {
		r.Metrics = append(r.Metrics, m)
	}
}
