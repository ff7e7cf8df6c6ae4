package experiment

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/encoder"
	"github.com/medprobe/medprobe/internal/near"
	"github.com/medprobe/medprobe/internal/yamlfile"
	"github.com/medprobe/medprobe/trainer"
)

// Config is one experiment as its YAML file says it. Every field but data and
// encoder has a default.
type Config struct {
	// Name heads the report; default: the folder of its file.
	Name string `yaml:"name"`
	// Description is a paragraph under the name.
	Description string `yaml:"description"`
	// Synthetic marks data that was drawn and not seen; the report says so.
	Synthetic bool `yaml:"synthetic"`

	// Task may say that the labels are numbers, such as laboratory values:
	// "regression".
	Task string `yaml:"task" json:",omitempty"`
	// Data is what to read; paths are relative to the experiment's file.
	Data datasets.Spec `yaml:"data" example:"{format: csv, path: labels.csv}"`
	// Encoder is the name of an imported encoder.
	Encoder string `yaml:"encoder"`
	// Encoders are compared with Encoder on the same samples; the first stands in
	// for it where it is not said.
	Encoders []EncoderChoice `yaml:"encoders" json:",omitempty"`
	// Preprocess is the preprocessing profile; default "hf".
	Preprocess string `yaml:"preprocess"`

	// External are further datasets on all of which every head is tried.
	External []External `yaml:"external" example:"[{name: site-b, data: csv:site-b.csv}]" json:",omitempty"`

	// Split says how the samples are divided into train and test where the data
	// does not say it itself.
	Split Split `yaml:"split" example:"{train: 0.7, test: 0.3}; a column of parts is split under data, a table of them split_file"`
	// Leakage says what to do when a patient or an identical image stands in
	// both train and test: "fail" (the default), "drop" it from train, or
	// "warn".
	Leakage string `yaml:"leakage"`

	// NearDuplicates says when images of train and test are nearly the same.
	NearDuplicates NearDuplicates `yaml:"near_duplicates" example:"{cosine: 0.999}"`

	// Prompts holds the texts of the zero-shot baseline by finding.
	Prompts Prompts `yaml:"prompts"`

	// Heads are trained and compared with zero-shot; default: linear-probe and
	// logistic, without prompts logistic. The first is the one the report is about.
	Heads []string `yaml:"heads"`
	// Covariates names attribute columns, such as age and sex, that are joined to
	// the vectors: the report compares the first linear probe or logistic head
	// with and without them, and with them alone.
	Covariates []string `yaml:"covariates" json:",omitempty"`

	// Subgroups names attribute columns whose values the report tells apart, such as
	// sex, or with bands, age:40,65.
	Subgroups []string `yaml:"subgroups" json:",omitempty"`

	// Calibrate is how probabilities are made of scores: "platt", "temperature"
	// or "isotonic"; empty leaves them as they are. Threshold holds rules for
	// where a finding begins, such as "youden" and "sensitivity=0.9". Both are
	// chosen on the part "validation" where the data has one, and otherwise on
	// cross-validated scores of the training part; never on test.
	Calibrate string   `yaml:"calibrate" json:",omitempty"`
	Threshold []string `yaml:"threshold" json:",omitempty"`

	// Members are the heads of the head "ensemble"; default: linear-probe,
	// logistic and gda.
	Members []string `yaml:"members" json:",omitempty"`
	// EnsembleScores are outside scores: the report compares the ensemble of the
	// members and these, as "ensemble+scores", too.
	EnsembleScores []OutsideScores `yaml:"ensemble_scores" example:"[{file: scores.csv, columns: {effusion: p_effusion}}]" json:",omitempty"`

	// Train says on how much the heads of the main table are trained.
	Train Train `yaml:"train" example:"{shots: 16}"`
	// Curve says for which shots the learning curve is drawn.
	Curve Curve `yaml:"curve" example:"{shots: [1, 4, 16]}"`

	// Scenario says which samples a few labelled ones are: "balanced" (the
	// default), "population" or "missing-classes".
	Scenario datasets.Scenario `yaml:"scenario"`

	// MaxFailures is how many samples may fail to embed: a number, a share
	// such as "5%" (the default), or "inf".
	MaxFailures string `yaml:"max_failures"`
	// Seed governs the split, the draws and the folds.
	Seed uint64 `yaml:"seed"`
}

// Split says how to divide.
type Split struct {
	// Train and Test are the shares of the patients; default 0.5 and 0.5.
	Train float64 `yaml:"train"`
	Test  float64 `yaml:"test"`
	// Ignore divides anew even if the data says how it is divided.
	Ignore bool `yaml:"ignore_predefined"`
}

// Train says on how much to train.
type Train struct {
	// Shots is how many positives and negatives of a finding are taken (of each
	// class, where they exclude one another); 0 means all of the training part.
	Shots int `yaml:"shots"`
}

// Curve is a learning curve over shots.
type Curve struct {
	// Shots are the points, in samples per class, and with task: regression in
	// samples with a known value. Empty means no curve.
	Shots []int `yaml:"shots"`
	// Draws is how often each point is drawn; default 5.
	Draws int `yaml:"draws"`
}

// zeroShot is the name of the baseline.
const zeroShot = "zero-shot"

// Load reads an experiment file. An unknown key is an error with its line.
func Load(path string) (*Config, error) {
	c := &Config{}
	if err := yamlfile.Load(path, c); err != nil {
		if ending := filepath.Ext(path); slices.Contains(datasets.Formats(), strings.TrimPrefix(ending, ".")) {
			err = fmt.Errorf("%w; an experiment is a YAML file, with data: %s:%s in it", err, ending[1:], filepath.Base(path))
		}
		return nil, fmt.Errorf("experiment: %w", err)
	}
	c.Data = c.Data.Relative(filepath.Dir(path))
	for k := range c.EnsembleScores {
		if file := &c.EnsembleScores[k].File; *file != "" && !filepath.IsAbs(*file) {
			*file = filepath.Join(filepath.Dir(path), *file)
		}
	}
	for k := range c.External {
		c.External[k].Data = c.External[k].Data.Relative(filepath.Dir(path))
	}
	if c.Name == "" {
		c.Name = filepath.Base(filepath.Dir(absolute(path)))
	}
	c.setDefaults()
	prompts, err := c.Prompts.filled(c.Data.Labels)
	if err == nil {
		c.Prompts = prompts
	}
	if err := errors.Join(c.validate(), err); err != nil {
		return nil, fmt.Errorf("experiment: %s: %w", path, err)
	}
	return c, nil
}

func absolute(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	return abs
}

func (c *Config) setDefaults() {
	if c.Preprocess == "" {
		c.Preprocess = "hf"
	}
	if c.Split.Train == 0 && c.Split.Test == 0 {
		c.Split.Train, c.Split.Test = 0.5, 0.5
	}
	if c.Leakage == "" {
		c.Leakage = "fail"
	}
	c.setTask()
	c.chooseEncoders()
	if len(c.Heads) == 0 {
		c.Heads = []string{trainer.Logistic}
		if len(c.Prompts) > 0 { // without them, a linear-probe is a logistic head
			c.Heads = []string{trainer.LinearProbe, trainer.Logistic}
		}
	}
	if c.Curve.Draws == 0 {
		c.Curve.Draws = 5
	}
	if c.NearDuplicates.Cosine == 0 {
		c.NearDuplicates.Cosine = 0.999
	}
	if c.MaxFailures == "" {
		c.MaxFailures = "5%"
	}
}

// validate reports everything that is wrong, not the first thing.
func (c *Config) validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Data.Path == "" {
		wrong("data: missing; want FORMAT:PATH, such as csv:labels.csv")
	}
	if c.Encoder == "" {
		wrong("encoder: missing; want the name of an imported encoder, such as demo")
	}
	if first, others, several := strings.Cut(c.Encoder, ","); several {
		wrong("encoder: %q: want one name: encoder: %s; of several, encoders: [%s,%s]", c.Encoder, first, first, others)
	}
	if c.Split.Train <= 0 || c.Split.Test <= 0 || c.Split.Train+c.Split.Test > 1+1e-9 {
		wrong("split: train %v and test %v: want two shares above 0 that add up to at most 1", c.Split.Train, c.Split.Test)
	}
	errs = append(errs, near.Check("leakage", c.Leakage, []string{"fail", "drop", "warn"}), near.Check("preprocess", c.Preprocess, encoder.Profiles()))
	errs = append(errs, c.NearDuplicates.check())
	if c.Scenario != "" {
		errs = append(errs, near.Check("scenario", string(c.Scenario), datasets.Scenarios()))
	}
	errs = append(errs, c.checkTask(), c.checkHeads())
	if c.Calibrate != "" {
		errs = append(errs, near.Check("calibrate", c.Calibrate, trainer.Calibrations()))
	}
	errs = append(errs, c.checkEncoders(), c.checkCovariates(), c.checkScores(), c.checkExternal(), c.checkSubgroups(), c.checkMembers())
	if _, err := c.rules(); err != nil {
		errs = append(errs, err)
	}
	if c.Train.Shots < 0 {
		wrong("train: shots %d: want 0 (all) or more", c.Train.Shots)
	}
	if c.Curve.Draws < 1 || c.Curve.Draws > 1000 {
		wrong("curve: draws %d: want 1 to 1000", c.Curve.Draws)
	}
	if !slices.IsSorted(c.Curve.Shots) || len(c.Curve.Shots) > 0 && c.Curve.Shots[0] < 1 {
		wrong("curve: shots %v: want ascending numbers from 1", c.Curve.Shots)
	}
	return errors.Join(errs...)
}

// checkHeads reports what is wrong with the heads, where they are for findings.
func (c *Config) checkHeads() error {
	if c.regression() {
		return nil // see checkTask
	}
	var errs []error
	for _, head := range c.Heads {
		if err := near.Check("head", head, trainer.Kinds()); err != nil {
			errs = append(errs, err)
		} else if len(c.Prompts) == 0 && trainer.NeedsPrior(head) {
			errs = append(errs, fmt.Errorf("head %s starts from zero-shot, and there are no prompts", head))
		}
	}
	return errors.Join(errs...)
}

// checkMembers reports what is wrong with the members of an ensemble.
func (c *Config) checkMembers() error {
	var errs []error
	if len(c.Members) > 0 && !slices.Contains(c.Heads, trainer.Ensemble) {
		errs = append(errs, fmt.Errorf("members: %q without the head %s", c.Members, trainer.Ensemble))
	}
	for _, member := range c.Members {
		errs = append(errs, near.Check("member", member, trainer.Kinds()))
	}
	return errors.Join(errs...)
}

// text is the experiment as it was understood, wherever its data lies, in JSON.
func (c *Config) text() []byte {
	anywhere := *c
	anywhere.Data = placeless(c.Data)
	anywhere.External = slices.Clone(c.External)
	for k := range anywhere.External {
		anywhere.External[k].Data = placeless(anywhere.External[k].Data)
	}
	anywhere.EnsembleScores = slices.Clone(c.EnsembleScores)
	for k := range anywhere.EnsembleScores {
		anywhere.EnsembleScores[k].File = filepath.Base(anywhere.EnsembleScores[k].File)
	}
	text, err := json.Marshal(anywhere)
	if err != nil {
		panic(fmt.Sprintf("experiment: a config is plain data: %v", err))
	}
	return text
}

// placeless is the spec of data that may lie anywhere.
func placeless(data datasets.Spec) datasets.Spec {
	data.Path, data.Root = "", ""
	for _, path := range []*string{&data.Table, &data.SplitFile} {
		if *path != "" {
			*path = filepath.Base(*path)
		}
	}
	return data
}

// digest names the experiment: the SHA-256 of its text.
func (c *Config) digest() string {
	sum := sha256.Sum256(c.text())
	return hex.EncodeToString(sum[:])
}
