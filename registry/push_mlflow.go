package registry

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/medprobe/medprobe/evaluate"
	"github.com/medprobe/medprobe/internal/mlflow"
)

// MLflowOptions says where on a tracking server a version goes.
type MLflowOptions struct {
	// Experiment and Model are names on the server; default the model's own.
	Experiment, Model string
	// Aliases are moved to the new version at the end.
	Aliases []string
	// Username and Password, or else Token, are what the server knows us by.
	Username, Password, Token string
	// Backoff is the wait before a first repetition; default 500 ms.
	Backoff time.Duration
	// Note, if not nil, is told of each repetition.
	Note func(what string)
}

// MLflowVersion is where a pushed version is.
type MLflowVersion struct {
	Experiment   string   `json:"experiment"`
	ExperimentID string   `json:"experiment_id"`
	Run          string   `json:"run_id"`
	Model        string   `json:"model"`
	Version      string   `json:"version"`
	Aliases      []string `json:"aliases"`
}

// digestTag tells the run and the version of a digest from all others.
const digestTag = "medprobe.digest"

// artifactPath is where the model lies among the run's artefacts.
const artifactPath = "model"

// PushMLflow puts a version on an MLflow tracking server: a run with what the head
// was made of as parameters, its figures with both ends of their intervals as
// metrics and the MLflow export as artefacts; then a version of a registered model
// from that run, and last its aliases. The run is running until all of it is there.
// Whoever pushes again after an interruption goes on with the same run, and a
// version that is there is not made again.
func (r *Registry) PushMLflow(ctx context.Context, v *Version, address string, o MLflowOptions) (*MLflowVersion, error) {
	pushed, err := r.pushMLflow(ctx, v, address, o)
	if err != nil {
		return nil, fmt.Errorf("registry: push %s to mlflow: %w", v.Reference(), err)
	}
	return pushed, nil
}

func (r *Registry) pushMLflow(ctx context.Context, v *Version, address string, o MLflowOptions) (*MLflowVersion, error) {
	to := &MLflowVersion{Experiment: cmp.Or(o.Experiment, v.Model), Model: cmp.Or(o.Model, v.Model), Aliases: append([]string{}, o.Aliases...)}
	// Before anything is sent: nothing is to fail at the end that was wrong from the
	// beginning.
	if err := mlflow.CheckModel(to.Model); err != nil {
		return nil, err
	}
	for _, alias := range to.Aliases {
		if err := mlflow.CheckAlias(alias); err != nil {
			return nil, err
		}
	}
	files, err := r.folder(v, (*Registry).mlflowFiles)
	if err != nil {
		return nil, err
	}
	c, err := mlflow.New(address, mlflow.Options{Username: o.Username, Password: o.Password, Token: o.Token, Backoff: o.Backoff, Note: o.Note})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	run, err := r.pushRun(ctx, c, v, to, files)
	if err != nil {
		return nil, err
	}
	about := describe(v)
	if err := c.Model(ctx, to.Model, about); err != nil {
		return nil, err
	}
	to.Version, err = c.Version(ctx, mlflow.NewVersion{
		Model: to.Model, Description: about, Run: run, Path: artifactPath, Tag: digestTag, Value: v.Digest, Tags: map[string]string{"medprobe.version": v.Reference().String()},
	})
	if err != nil {
		return nil, err
	}
	for _, alias := range to.Aliases {
		if err := c.Alias(ctx, to.Model, alias, to.Version); err != nil {
			return nil, fmt.Errorf("alias %q: %w", alias, err)
		}
	}
	return to, nil
}

// pushRun makes the run whole, if it is not.
func (r *Registry) pushRun(ctx context.Context, c *mlflow.Client, v *Version, to *MLflowVersion, files map[string][]byte) (*mlflow.Run, error) {
	var err error
	if to.ExperimentID, err = c.Experiment(ctx, to.Experiment); err != nil {
		return nil, err
	}
	run, err := c.StartRun(ctx, mlflow.NewRun{
		Experiment: to.ExperimentID, Name: v.Reference().String(), Tag: digestTag, Value: v.Digest, Start: v.Added,
	})
	if err != nil {
		return nil, err
	}
	to.Run = run.ID
	if run.Finished {
		return run, nil
	}
	if err := c.Log(ctx, run, runContent(v)); err != nil {
		return nil, fmt.Errorf("run %s: %w", run.ID, err)
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := c.Upload(ctx, run, artifactPath+"/"+name, files[name]); err != nil {
			return nil, fmt.Errorf("run %s: %s: %w", run.ID, name, err)
		}
	}
	return run, c.Finish(ctx, run, v.Added)
}

// describe says in a line what a version is.
func describe(v *Version) string {
	h := &v.Document.Head
	return mlflow.Text(fmt.Sprintf("A %s head of %s on embeddings of %s, %d dimensions. Its figures with their intervals and its limits are in README.md beside the model. No medical device.",
		h.Kind, strings.Join(h.Classes, ", "), v.Document.Lineage.Encoder.Name, h.Dim))
}

// runContent is what the run of a version says: nothing that names a patient, a path or
// a machine.
func runContent(v *Version) mlflow.Content {
	d := &v.Document
	l := &d.Lineage
	classes, err := json.Marshal(d.Head.Classes)
	if err != nil {
		classes = nil // strings always have a form in JSON
	}
	c := mlflow.Content{At: v.Added, Params: map[string]string{}, Metrics: map[string]float64{}, Tags: map[string]string{
		"medprobe.version": v.Reference().String(),
		// What MLflow's pages show as the run's description.
		"mlflow.note.content": describe(v),
	}}
	for name, value := range map[string]string{
		"head": d.Head.Kind, "classes": string(classes), "exclusive": strconv.FormatBool(d.Head.Exclusive), "dim": strconv.Itoa(d.Head.Dim),
		"calibrated": strconv.FormatBool(d.Head.Calibrated), "seed": strconv.FormatUint(l.Seed, 10), "task": l.Dataset.Task,
		"experiment_digest": l.Experiment, "dataset_digest": l.Dataset.Digest, "split_digest": l.Split, "interval_unit": l.Dataset.Unit,
		"encoder": l.Encoder.Name, "encoder_fingerprint": l.Encoder.Fingerprint,
		"preprocess": l.Encoder.Preprocess, "preprocess_fingerprint": l.Encoder.PreprocessFingerprint, "medprobe": l.Code,
	} {
		c.Params[name] = mlflow.Value(value)
	}
	var without []string
	for _, m := range d.Metrics {
		if !estimate(c.Metrics, "auc", m.Finding, m.AUC) {
			without = append(without, m.Finding)
		} else {
			c.Params["interval_level"] = strconv.FormatFloat(m.AUC.Level, 'g', -1, 64)
		}
		estimate(c.Metrics, "zero_shot_auc", m.Finding, m.ZeroShot)
		if m.Gain != nil {
			estimate(c.Metrics, "gain", m.Finding, &m.Gain.Difference)
		}
	}
	if len(without) > 0 {
		c.Tags["medprobe.not_estimable"] = mlflow.Text(strings.Join(without, ", "))
	}
	return c
}

// estimate adds a figure with both ends of its interval, how many samples it is of
// and how many units, or nothing where one of them is missing.
func estimate(metrics map[string]float64, what, finding string, e *evaluate.Estimate) bool {
	if e == nil {
		return false
	}
	for _, x := range []float64{e.Point, e.Low, e.High} {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return false
		}
	}
	for suffix, x := range map[string]float64{
		"": e.Point, "_ci_low": e.Low, "_ci_high": e.High, "_n": float64(e.N), "_positives": float64(e.Positives), "_units": float64(e.Units),
	} {
		metrics[mlflow.Name(what+suffix+"/"+finding)] = x
	}
	return true
}
