package mlflow

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Model makes a registered model if there is none of the name.
func (c *Client) Model(ctx context.Context, name, description string) error {
	return c.retry(ctx, func() error {
		err := c.post(ctx, "registered-models/create", map[string]string{"name": name, "description": description}, nil)
		if is(err, "RESOURCE_ALREADY_EXISTS") {
			return nil
		}
		return err
	})
}

// NewVersion is what a version of a registered model is made of, or found by.
type NewVersion struct {
	Model, Description string
	Run                *Run
	// Path is that of the model among the run's artefacts.
	Path string
	// Tag and Value tell it from others of the same run.
	Tag, Value string
	// Tags are the others it gets.
	Tags map[string]string
}

type versionAnswer struct {
	Version string `json:"version"`
	Status  string `json:"status"`
	Message string `json:"status_message"`
	Tags    []pair `json:"tags"`
}

// Version returns the version of a registered model that has the run and the tag, or
// makes it, and waits until it is ready.
func (c *Client) Version(ctx context.Context, n NewVersion) (number string, err error) {
	tags := []pair{{n.Tag, n.Value}}
	tags = append(tags, missing(n.Tags, nil)...)
	var v *versionAnswer
	err = c.retry(ctx, func() error {
		if v, err = c.findVersion(ctx, n); err != nil || v != nil {
			return err
		}
		var made struct {
			Version versionAnswer `json:"model_version"`
		}
		err = c.post(ctx, "model-versions/create", map[string]any{
			"name": n.Model, "source": strings.TrimRight(n.Run.ArtifactRoot, "/") + "/" + n.Path, "run_id": n.Run.ID, "description": n.Description, "tags": tags,
		}, &made)
		v = &made.Version
		return err
	})
	if err != nil {
		return "", err
	}
	return v.Version, c.ready(ctx, n.Model, v)
}

func (c *Client) findVersion(ctx context.Context, n NewVersion) (*versionAnswer, error) {
	var found struct {
		Versions []versionAnswer `json:"model_versions"`
	}
	filter := fmt.Sprintf("name = '%s' and run_id = '%s'", n.Model, n.Run.ID)
	if err := c.get(ctx, "model-versions/search", url.Values{"filter": {filter}}, &found); err != nil {
		return nil, err
	}
	at := slices.IndexFunc(found.Versions, func(v versionAnswer) bool { return slices.Contains(v.Tags, pair{n.Tag, n.Value}) })
	if at < 0 {
		return nil, nil
	}
	return &found.Versions[at], nil
}

// ready waits until a version is registered.
func (c *Client) ready(ctx context.Context, model string, v *versionAnswer) error {
	got := struct {
		Version versionAnswer `json:"model_version"`
	}{*v}
	pending := fmt.Errorf("version %s of %s is not ready yet; push again to go on", v.Version, model)
	err := c.policy.Do(ctx, func(err error) (bool, time.Duration) {
		if errors.Is(err, pending) {
			return true, 0
		}
		return passing(err)
	}, func() error {
		if got.Version.Status != "PENDING_REGISTRATION" {
			return nil
		}
		err := c.get(ctx, "model-versions/get", url.Values{"name": {model}, "version": {v.Version}}, &got)
		if err == nil && got.Version.Status == "PENDING_REGISTRATION" {
			err = pending
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case got.Version.Status == "FAILED_REGISTRATION":
		return fmt.Errorf("the server could not register version %s of %s: %q", v.Version, model, c.clean(got.Version.Message))
	case v.Version == "":
		return fmt.Errorf("the server gives the version of %s no number", model)
	}
	return nil
}

// Alias lets an alias of a registered model point at a version.
func (c *Client) Alias(ctx context.Context, model, alias, version string) error {
	return c.retry(ctx, func() error {
		return c.post(ctx, "registered-models/alias", map[string]string{"name": model, "alias": alias, "version": version}, nil)
	})
}
