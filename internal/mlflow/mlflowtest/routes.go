package mlflowtest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

type pair struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

func pairs(m map[string]string) []pair {
	list := []pair{}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		list = append(list, pair{k, m[k]})
	}
	return list
}

// routes are the endpoints by method and path.
var routes = map[string]func(*Server, []byte) (any, error){
	"GET experiments/get-by-name":   message(getExperiment),
	"POST experiments/create":       message(createExperiment),
	"POST runs/search":              message(searchRuns),
	"POST runs/create":              message(createRun),
	"POST runs/log-batch":           message(logBatch),
	"POST runs/update":              message(updateRun),
	"POST registered-models/create": message(createModel),
	"POST registered-models/alias":  message(setAlias),
	"GET model-versions/search":     message(searchVersions),
	"GET model-versions/get":        message(getVersion),
	"POST model-versions/create":    message(createVersion),
}

// message lets an endpoint have its request as the message that it is; fields that
// the message has not are refused.
func message[Q any](answer func(*Server, Q) (any, error)) func(*Server, []byte) (any, error) {
	return func(s *Server, body []byte) (any, error) {
		var q Q
		d := json.NewDecoder(bytes.NewReader(body))
		d.DisallowUnknownFields()
		if err := d.Decode(&q); err != nil {
			return nil, invalid("%v", err)
		}
		return answer(s, q)
	}
}

func getExperiment(s *Server, q struct {
	Name string `json:"experiment_name"`
}) (any, error) {
	id, ok := s.state.Experiments[q.Name]
	if !ok {
		return nil, unknown("Could not find experiment with name '%s'", q.Name)
	}
	return map[string]any{"experiment": map[string]string{"experiment_id": id, "name": q.Name, "lifecycle_stage": "active"}}, nil
}

func createExperiment(s *Server, q struct {
	Name string `json:"name"`
}) (any, error) {
	if q.Name == "" || len(q.Name) > maxExperimentName {
		return nil, invalid("Invalid experiment name: '%s'", q.Name)
	}
	if _, ok := s.state.Experiments[q.Name]; ok {
		return nil, exists("Experiment(name=%s) already exists.", q.Name)
	}
	id := strconv.Itoa(len(s.state.Experiments) + 1)
	s.state.Experiments[q.Name] = id
	return map[string]string{"experiment_id": id}, nil
}

var tagFilter = regexp.MustCompile("^tags\\.`([^`]+)` = '([^']*)'$")

func searchRuns(s *Server, q struct {
	Experiments []string `json:"experiment_ids"`
	Filter      string   `json:"filter"`
	View        string   `json:"run_view_type"`
	Max         int      `json:"max_results"`
}) (any, error) {
	f := tagFilter.FindStringSubmatch(q.Filter)
	if f == nil || q.Max < 1 || q.Max > 50000 || q.View != "ACTIVE_ONLY" {
		return nil, invalid("Invalid filter string: %s", q.Filter)
	}
	found := []any{}
	for _, id := range slices.Sorted(maps.Keys(s.state.Runs)) {
		if r := s.state.Runs[id]; slices.Contains(q.Experiments, r.Experiment) && r.Tags[f[1]] == f[2] {
			found = append(found, s.describe(r))
		}
	}
	return map[string]any{"runs": found}, nil
}

// describe is a Run message: the last of each metric.
func (s *Server) describe(r *run) any {
	last := map[string]metric{}
	for _, m := range r.Metrics {
		last[m.Key] = m
	}
	root := "mlflow-artifacts:/" + r.place()
	switch s.behaviour.Artifacts {
	case "http":
		root = s.URL + "/api/2.0/mlflow-artifacts/artifacts/" + r.place()
	case "s3":
		root = "s3://bucket/" + r.place()
	case "foreign":
		root = "mlflow-artifacts://elsewhere.example.org/" + r.place()
	}
	return map[string]any{
		"info": map[string]any{"run_id": r.ID, "run_uuid": r.ID, "run_name": r.Name, "status": r.Status, "artifact_uri": root,
			"experiment_id": r.Experiment, "start_time": r.Start, "end_time": r.End, "lifecycle_stage": "active"},
		"data": map[string]any{"params": pairs(r.Params), "tags": pairs(r.Tags), "metrics": slices.Collect(maps.Values(last))},
	}
}

func createRun(s *Server, q struct {
	Experiment string `json:"experiment_id"`
	Name       string `json:"run_name"`
	Start      int64  `json:"start_time"`
	Tags       []pair `json:"tags"`
}) (any, error) {
	if !slices.Contains(slices.Collect(maps.Values(s.state.Experiments)), q.Experiment) {
		return nil, unknown("No Experiment with id=%s exists", q.Experiment)
	}
	if err := checkTags(q.Tags); err != nil {
		return nil, err
	}
	r := s.newRun(q.Experiment, q.Name, q.Start)
	for _, t := range q.Tags {
		r.Tags[t.Key] = t.Value
	}
	r.Tags["mlflow.runName"] = q.Name
	return map[string]any{"run": s.describe(r)}, nil
}

func logBatch(s *Server, q struct {
	Run     string   `json:"run_id"`
	Params  []pair   `json:"params"`
	Tags    []pair   `json:"tags"`
	Metrics []metric `json:"metrics"`
}) (any, error) {
	r, ok := s.state.Runs[q.Run]
	if !ok {
		return nil, unknown("Run with id=%s not found", q.Run)
	}
	if err := cmp.Or(checkBatch(len(q.Metrics), len(q.Params), len(q.Tags)), checkTags(q.Tags)); err != nil {
		return nil, err
	}
	had := map[string]bool{}
	for _, p := range q.Params {
		if err := cmp.Or(checkName("parameter", p.Key), checkLength("Param value", s.behaviour.MaxParam, p.Value)); err != nil {
			return nil, err
		}
		if old, ok := r.Params[p.Key]; ok && old != p.Value || had[p.Key] {
			return nil, invalid("Changing param values is not allowed. Params were already logged='%s' for run ID='%s'.", p.Key, r.ID)
		}
		had[p.Key] = true
	}
	for _, m := range q.Metrics {
		if err := checkName("metric", m.Key); err != nil {
			return nil, err
		}
		if m.Timestamp < 0 {
			return nil, invalid("Got invalid timestamp %d for metric '%s'", m.Timestamp, m.Key)
		}
	}
	for _, p := range q.Params {
		r.Params[p.Key] = p.Value
	}
	for _, t := range q.Tags {
		r.Tags[t.Key] = t.Value
	}
	for _, m := range q.Metrics {
		r.log(m)
	}
	return map[string]any{}, nil
}

func updateRun(s *Server, q struct {
	Run    string `json:"run_id"`
	Status string `json:"status"`
	End    int64  `json:"end_time"`
}) (any, error) {
	r, ok := s.state.Runs[q.Run]
	if !ok {
		return nil, unknown("Run with id=%s not found", q.Run)
	}
	if !slices.Contains([]string{"RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"}, q.Status) {
		return nil, invalid("status %q", q.Status)
	}
	r.Status, r.End = q.Status, q.End
	return map[string]any{"run_info": map[string]string{"run_id": r.ID, "status": r.Status}}, nil
}

func createModel(s *Server, q struct {
	Name        string `json:"name"`
	Description string `json:"description"`
}) (any, error) {
	if err := cmp.Or(checkModelName(q.Name), checkLength("description", maxTag, q.Description)); err != nil {
		return nil, err
	}
	if _, ok := s.state.Models[q.Name]; ok {
		return nil, exists("Registered Model (name=%s) already exists.", q.Name)
	}
	s.state.Models[q.Name] = &model{Description: q.Description, Aliases: map[string]string{}}
	return map[string]any{"registered_model": map[string]string{"name": q.Name}}, nil
}

var versionFilter = regexp.MustCompile(`^name = '([^']*)' and run_id = '([^']*)'$`)

func searchVersions(s *Server, q struct {
	Filter string `json:"filter"`
}) (any, error) {
	f := versionFilter.FindStringSubmatch(q.Filter)
	if f == nil {
		return nil, invalid("Invalid filter string: %s", q.Filter)
	}
	found := []any{}
	if m := s.state.Models[f[1]]; m != nil {
		for i, v := range m.Versions {
			if v.Run == f[2] {
				found = append(found, s.describeVersion(f[1], i, v))
			}
		}
	}
	return map[string]any{"model_versions": found}, nil
}

func (s *Server) describeVersion(name string, i int, v *version) any {
	v.asked++
	status := "READY"
	if s.behaviour.Pending && v.asked < 3 {
		status = "PENDING_REGISTRATION"
	}
	return map[string]any{"name": name, "version": strconv.Itoa(i + 1), "run_id": v.Run, "source": v.Source, "status": status, "tags": pairs(v.Tags)}
}

func getVersion(s *Server, q struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}) (any, error) {
	v, i, err := s.version(q.Name, q.Version)
	if err != nil {
		return nil, err
	}
	return map[string]any{"model_version": s.describeVersion(q.Name, i, v)}, nil
}

func (s *Server) version(name, number string) (*version, int, error) {
	m := s.state.Models[name]
	i, err := strconv.Atoi(number)
	switch {
	case err != nil:
		return nil, 0, invalid("Model version must be an integer, got '%s'", number)
	case m == nil:
		return nil, 0, unknown("Registered Model with name=%s not found", name)
	case i < 1 || i > len(m.Versions):
		return nil, 0, unknown("Model Version (name=%s, version=%s) not found", name, number)
	}
	return m.Versions[i-1], i - 1, nil
}

func createVersion(s *Server, q struct {
	Name        string `json:"name"`
	Source      string `json:"source"`
	Run         string `json:"run_id"`
	Description string `json:"description"`
	Tags        []pair `json:"tags"`
}) (any, error) {
	m, r := s.state.Models[q.Name], s.state.Runs[q.Run]
	switch {
	case m == nil:
		return nil, unknown("Registered Model with name=%s not found", q.Name)
	case r == nil:
		return nil, unknown("Run with id=%s not found", q.Run)
	}
	if err := cmp.Or(checkSource(q.Source), checkTags(q.Tags), checkLength("description", maxTag, q.Description)); err != nil {
		return nil, err
	}
	v := &version{Source: strings.TrimPrefix(q.Source, s.URL), Run: q.Run, Description: q.Description, Tags: map[string]string{}}
	for _, t := range q.Tags {
		v.Tags[t.Key] = t.Value
	}
	m.Versions = append(m.Versions, v)
	return map[string]any{"model_version": s.describeVersion(q.Name, len(m.Versions)-1, v)}, nil
}

// checkSource is _validate_non_local_source_contains_relative_paths of
// mlflow/server/handlers.py; a local source is none of this server's runs.
func checkSource(source string) error {
	u, err := url.Parse(source)
	if err != nil || u.Scheme == "" || u.Scheme == "file" {
		return invalid("Invalid model version source: '%s'. To use a local path as a model version source, the run_id request parameter has to be specified and the local path has to be contained within the artifact directory of the run specified by the run_id.", source)
	}
	plain := source
	for {
		next, err := url.QueryUnescape(plain)
		if err != nil || next == plain {
			break
		}
		plain = next
	}
	u, err = url.Parse(plain)
	if err != nil || strings.Contains(plain, "\x00") || slices.Contains(strings.Split(plain, "/"), "..") || path.Clean("/"+u.Path) != "/"+strings.Trim(u.Path, "/") {
		return invalid("Invalid model version source: '%s'. If supplying a source as an http, https, local file path, ftp, objectstore, or mlflow-artifacts uri, an absolute path must be provided without relative path references present.", source)
	}
	return nil
}

func setAlias(s *Server, q struct {
	Name    string `json:"name"`
	Alias   string `json:"alias"`
	Version string `json:"version"`
}) (any, error) {
	if err := checkAlias(q.Alias); err != nil {
		return nil, err
	}
	if _, _, err := s.version(q.Name, q.Version); err != nil {
		return nil, err
	}
	m := s.state.Models[q.Name]
	if m.Aliases[q.Alias] != q.Version {
		m.Moves++
	}
	m.Aliases[q.Alias] = q.Version
	return map[string]any{}, nil
}
