package mlflow

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"
)

// Experiment returns the id of the experiment of a name, which is made if there is
// none.
func (c *Client) Experiment(ctx context.Context, name string) (id string, err error) {
	err = c.retry(ctx, func() error {
		id, err = c.experiment(ctx, name)
		if !is(err, "RESOURCE_DOES_NOT_EXIST") {
			return err
		}
		var made struct {
			ID string `json:"experiment_id"`
		}
		err = c.post(ctx, "experiments/create", map[string]string{"name": name}, &made)
		if is(err, "RESOURCE_ALREADY_EXISTS") { // another was quicker
			id, err = c.experiment(ctx, name)
			return err
		}
		id = made.ID
		return err
	})
	if err == nil && id == "" {
		err = fmt.Errorf("experiment %q: the server gives it no id: is this the address of a tracking server?", name)
	}
	return id, err
}

func (c *Client) experiment(ctx context.Context, name string) (id string, err error) {
	var found struct {
		Experiment struct {
			ID    string `json:"experiment_id"`
			Stage string `json:"lifecycle_stage"`
		} `json:"experiment"`
	}
	if err := c.get(ctx, "experiments/get-by-name", url.Values{"experiment_name": {name}}, &found); err != nil {
		return "", err
	}
	if found.Experiment.Stage == "deleted" {
		return "", fmt.Errorf("experiment %q was deleted on the server: restore it there, or name another", name)
	}
	return found.Experiment.ID, nil
}

// Run is one run on the server.
type Run struct {
	ID           string
	Finished     bool
	ArtifactRoot string

	params, tags map[string]string
	metrics      map[string]float64
}

// NewRun is what a run is made of, or found by.
type NewRun struct {
	Experiment, Name string
	// Tag and Value tell it from all others.
	Tag, Value string
	Start      time.Time
}

type pair struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

type runAnswer struct {
	Info struct {
		ID           string `json:"run_id"`
		Status       string `json:"status"`
		ArtifactRoot string `json:"artifact_uri"`
	} `json:"info"`
	Data struct {
		Params, Tags []pair
		Metrics      []struct {
			Key   string  `json:"key"`
			Value float64 `json:"value"`
		}
	} `json:"data"`
}

func (a *runAnswer) run() *Run {
	r := &Run{ID: a.Info.ID, Finished: a.Info.Status == "FINISHED", ArtifactRoot: a.Info.ArtifactRoot,
		params: map[string]string{}, tags: map[string]string{}, metrics: map[string]float64{}}
	for _, p := range a.Data.Params {
		r.params[p.Key] = p.Value
	}
	for _, p := range a.Data.Tags {
		r.tags[p.Key] = p.Value
	}
	for _, m := range a.Data.Metrics {
		r.metrics[m.Key] = m.Value
	}
	return r
}

// StartRun returns the run that has the tag, or makes one, which is running. Of
// several it takes a finished one, or else the first by its id.
func (c *Client) StartRun(ctx context.Context, n NewRun) (r *Run, err error) {
	err = c.retry(ctx, func() error {
		if r, err = c.findRun(ctx, n); err != nil || r != nil {
			return err
		}
		var made struct{ Run runAnswer }
		err = c.post(ctx, "runs/create", map[string]any{
			"experiment_id": n.Experiment, "run_name": n.Name, "start_time": n.Start.UnixMilli(), "tags": []pair{{n.Tag, n.Value}},
		}, &made)
		r = made.Run.run()
		return err
	})
	if err == nil && (r.ID == "" || r.ArtifactRoot == "") {
		err = errors.New("the server gives the run no id or no place for artefacts")
	}
	return r, err
}

func (c *Client) findRun(ctx context.Context, n NewRun) (*Run, error) {
	var found struct{ Runs []runAnswer }
	err := c.post(ctx, "runs/search", map[string]any{
		"experiment_ids": []string{n.Experiment}, "filter": fmt.Sprintf("tags.`%s` = '%s'", n.Tag, n.Value), "run_view_type": "ACTIVE_ONLY", "max_results": 100,
	}, &found)
	if err != nil || len(found.Runs) == 0 {
		return nil, err
	}
	best := slices.MinFunc(found.Runs, func(a, b runAnswer) int {
		if x, y := a.run().Finished, b.run().Finished; x != y {
			return map[bool]int{true: -1, false: 1}[x]
		}
		return strings.Compare(a.Info.ID, b.Info.ID)
	})
	return best.run(), nil
}

// Content is what is logged to a run. Names and values keep to the server's limits;
// see [Name].
type Content struct {
	Params, Tags map[string]string
	Metrics      map[string]float64
	// At is the time of the metrics: with the same one, a metric that is logged
	// again is the same metric.
	At time.Time
}

// What one request may carry.
const (
	maxPairs   = 100
	maxMetrics = 1000
)

type metric struct {
	Key       string  `json:"key"`
	Value     float64 `json:"value"`
	Timestamp int64   `json:"timestamp"`
	Step      int64   `json:"step"`
}

// Log logs what the run has not yet.
func (c *Client) Log(ctx context.Context, r *Run, content Content) error {
	for params := range slices.Chunk(missing(content.Params, r.params), maxPairs) {
		if err := c.logBatch(ctx, r, "params", params); err != nil {
			return err
		}
	}
	for tags := range slices.Chunk(missing(content.Tags, r.tags), maxPairs) {
		if err := c.logBatch(ctx, r, "tags", tags); err != nil {
			return err
		}
	}
	var metrics []metric
	for _, key := range slices.Sorted(maps.Keys(content.Metrics)) {
		if had, ok := r.metrics[key]; !ok || had != content.Metrics[key] {
			metrics = append(metrics, metric{Key: key, Value: content.Metrics[key], Timestamp: content.At.UnixMilli()})
		}
	}
	for some := range slices.Chunk(metrics, maxMetrics) {
		if err := c.logBatch(ctx, r, "metrics", some); err != nil {
			return err
		}
	}
	return nil
}

func missing(want, had map[string]string) []pair {
	var pairs []pair
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if v, ok := had[key]; !ok || v != want[key] {
			pairs = append(pairs, pair{key, want[key]})
		}
	}
	return pairs
}

func (c *Client) logBatch(ctx context.Context, r *Run, what string, values any) error {
	return c.retry(ctx, func() error {
		return c.post(ctx, "runs/log-batch", map[string]any{"run_id": r.ID, what: values}, nil)
	})
}

// maxForward is what a server takes that forwards artefacts to a store of its own.
const maxForward = 10 << 20

// Upload puts a file among the artefacts of a run, in place of one of that path.
func (c *Client) Upload(ctx context.Context, r *Run, name string, data []byte) error {
	method, to, err := c.uploadTo(r, name)
	if err != nil {
		return err
	}
	if method == http.MethodPost && len(data) > maxForward {
		return fmt.Errorf("%s has %d bytes, and the server takes %d at most where it does not serve artefacts itself: start it with --serve-artifacts", name, len(data), maxForward)
	}
	return c.retry(ctx, func() error { return c.send(ctx, method, to, "application/octet-stream", data, nil) })
}

// uploadTo says where a server takes an artefact: where it serves artefacts itself,
// by PUT under mlflow-artifacts; otherwise by POST where its own pages send theirs.
func (c *Client) uploadTo(r *Run, name string) (method, to string, err error) {
	root, err := url.Parse(r.ArtifactRoot)
	if err != nil {
		return "", "", errors.New("the place for artefacts that the server names is no address")
	}
	const proxy = "/api/2.0/mlflow-artifacts/artifacts"
	switch root.Scheme {
	case "mlflow-artifacts":
		if root.Host != "" && root.Host != c.base.Host {
			return "", "", fmt.Errorf("the server keeps artefacts at %q, and credentials for it do not go to another server", root.Host)
		}
		return http.MethodPut, proxy + (&url.URL{Path: path.Join("/", root.Path, name)}).EscapedPath(), nil
	case "http", "https":
		inside, ok := strings.CutPrefix(root.Path, c.base.Path)
		if root.Scheme != c.base.Scheme || root.Host != c.base.Host || !ok {
			return "", "", fmt.Errorf("the server keeps artefacts at %q, and credentials for it do not go to another server", root.Host)
		}
		return http.MethodPut, (&url.URL{Path: path.Join("/", inside, name)}).EscapedPath(), nil
	}
	return http.MethodPost, "/ajax-api/2.0/mlflow/upload-artifact?" + url.Values{"run_uuid": {r.ID}, "path": {name}}.Encode(), nil
}

// Finish says that the run is whole.
func (c *Client) Finish(ctx context.Context, r *Run, at time.Time) error {
	return c.retry(ctx, func() error {
		return c.post(ctx, "runs/update", map[string]any{"run_id": r.ID, "status": "FINISHED", "end_time": at.UnixMilli()}, nil)
	})
}
