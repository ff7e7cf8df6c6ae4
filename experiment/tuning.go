package experiment

import (
	"fmt"
	"slices"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/evaluate"
	"github.com/medprobe/medprobe/trainer"
)

// validationPart is the part of the data that calibration and thresholds are
// chosen on, where there is one.
const validationPart = "validation"

// tunes says whether anything is chosen on a validation part.
func (c *Config) tunes() bool { return c.Calibrate != "" || len(c.Threshold) > 0 }

// validates says whether the validation part is used: for what is tuned, and for
// the weights of an ensemble.
func (c *Config) validates() bool { return c.tunes() || slices.Contains(c.Heads, trainer.Ensemble) }

// rules reads the thresholds that the experiment asks for.
func (c *Config) rules() ([]trainer.Rule, error) {
	var rules []trainer.Rule
	for _, text := range c.Threshold {
		rule, err := trainer.ParseRule(text)
		if err != nil {
			return nil, err
		}
		if slices.Contains(rules, rule) {
			return nil, fmt.Errorf("threshold %q stands twice", text)
		}
		rules = append(rules, rule)
	}
	return rules, nil
}

// checkTuning returns an error if exclusive classes are to have what only
// findings can.
func (c *Config) checkTuning(d *datasets.Dataset) error {
	if d.Exclusive() && (len(c.Threshold) > 0 || c.Calibrate != "" && c.Calibrate != trainer.Temperature) {
		return fmt.Errorf("experiment: %d classes exclude one another: they have no threshold, and calibrate: %s alone; leave threshold out", len(d.Classes), trainer.Temperature)
	}
	return nil
}

// tune calibrates the head of a class set on the validation part, if there is
// one; otherwise the head has been calibrated when it was fitted.
func (l *lab) tune(head *trainer.Head, set classSet) error {
	if !l.config.tunes() || len(l.validation) == 0 {
		return nil
	}
	rules, err := l.config.rules()
	if err != nil {
		return err
	}
	y, _ := Targets(l.data, set, l.validation)
	if err := head.Calibrate(gather(l.x, l.validation), y, l.config.Calibrate, rules); err != nil {
		return fmt.Errorf("part %q: %w", validationPart, err)
	}
	return nil
}

// tuned adds to the options of a fit what is chosen by cross-validation for want
// of a validation part.
func (l *lab) tuned(o *trainer.Options) (err error) {
	if l.config.tunes() && len(l.validation) == 0 {
		o.Calibrate = l.config.Calibrate
		o.Thresholds, err = l.config.rules()
	}
	return err
}

// cuts says what the thresholds of a method reach on the test samples of a
// class.
func (l *lab) cuts(m *method, class int, test finding) ([]evaluate.Cut, error) {
	if m.head == nil || m.probabilities.Data == nil {
		return nil, nil
	}
	probabilities := pick(column(m.probabilities, class), test.rows)
	var cuts []evaluate.Cut
	for _, t := range m.head.Thresholds {
		if t.Class != l.data.Classes[class] {
			continue
		}
		reached, err := evaluate.Operate(probabilities, test.labels, test.groups, t.Probability, l.data.Unit)
		if err != nil {
			return nil, fmt.Errorf("experiment: %s: %q: %w", m.name, t.Class, err)
		}
		cuts = append(cuts, evaluate.Cut{
			Rule: t.Rule, ChosenOn: t.ChosenOn, Operating: reached,
			Chosen: evaluate.Chosen{Sensitivity: t.Sensitivity, Specificity: t.Specificity, PPV: t.PPV},
		})
	}
	return cuts, nil
}
