package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/medprobe/medprobe/evaluate"
	"github.com/medprobe/medprobe/experiment"
	"github.com/medprobe/medprobe/internal/near"
	"github.com/medprobe/medprobe/report"
	"github.com/spf13/cobra"
)

func (s *settings) zeroshotCommand() *cobra.Command {
	var enc encoderFlags
	var z experiment.ZeroShot
	var score string
	var asJSON, study bool
	cmd := &cobra.Command{
		Use:   "zeroshot SPEC",
		Short: "Ask prompts about every labelled image, without training",
		Long: fmt.Sprintf(`Zeroshot scores every labelled sample by its likeness to prompts and reports
the AUC of each finding. PROMPTS is a YAML file of texts by finding,

  effusion:
    positive: ["a chest radiograph with an effusion"]
    negative: ["a chest radiograph with no effusion"]

or a pack that comes with medprobe, in words of our own: %s.
templates (sentences with {}) and ensemble (mean, mean-score, max) may stand with
a finding, or under "*" for all. Prompts that were tried by hand on these same images flatter
themselves; choose them on others.

--study ranks every wording and ensemble on samples that are not for the test.

Scores: pair, the softmax over a positive and a negative text; difference, their
cosines' difference; softmax over the findings; sigmoid, SigLIP's own. Default:
softmax where classes exclude one another, pair where there are negative texts.`, strings.Join(experiment.Packs(), ", ")),
		Example: `  medprobe zeroshot csv:labels.csv --encoder demo --prompts prompts.yaml
  medprobe zeroshot csv:labels.csv --encoder demo --prompts prompts.yaml --study`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := enc.check(cmd); err != nil {
				return err
			}
			if z.Prompts == "" {
				return usagef(cmd, "--prompts is missing; name a YAML file, or pack:chexpert")
			}
			if err := checkMaxFailures(cmd, z.MaxFailures); err != nil {
				return err
			}
			if score != "" {
				if err := near.Check("--score", score, experiment.Scores()); err != nil {
					return usagef(cmd, "%w", err)
				}
			}
			spec, err := s.spec(args[0])
			if err != nil {
				return err
			}
			z.Data, z.Score, z.Preprocess, z.Seed = spec, experiment.Score(score), enc.profile, s.seed
			if study {
				return s.studyPrompts(cmd, z, enc, asJSON)
			}
			var r *evaluate.Report
			err = s.withEncoder(cmd.Context(), enc.name, enc.profile, func(o experiment.Options) error {
				r, err = z.Run(cmd.Context(), o)
				return err
			})
			if err != nil {
				return err
			}
			if asJSON {
				return report.JSON(s.out, r)
			}
			return report.Text(s.out, r)
		},
	}
	enc.add(cmd)
	cmd.Flags().StringVar(&z.Prompts, "prompts", "", "YAML file of texts by finding, or pack:NAME (required)")
	cmd.Flags().StringVar(&score, "score", "", "pair, difference, softmax or sigmoid")
	cmd.Flags().BoolVar(&study, "study", false, "rank wordings and ensembles on every part but test")
	cmd.Flags().StringVar(&z.Split, "split", "", "part of the data to look at (default: all of it)")
	cmd.Flags().StringVar(&z.MaxFailures, "max-failures", "5%", "how many samples may fail before the run stops: a number, a share, or inf")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// studyPrompts ranks the prompts where the test part is not.
func (s *settings) studyPrompts(cmd *cobra.Command, z experiment.ZeroShot, enc encoderFlags, asJSON bool) error {
	var study *evaluate.PromptStudy
	err := s.withEncoder(cmd.Context(), enc.name, enc.profile, func(o experiment.Options) (err error) {
		study, err = z.Study(cmd.Context(), o)
		return err
	})
	if errors.Is(err, experiment.ErrTestPart) {
		return usagef(cmd, "--split %s: %w", z.Split, experiment.ErrTestPart)
	}
	if err != nil {
		return err
	}
	if asJSON {
		return study.WriteJSON(s.out)
	}
	return report.StudyText(s.out, study)
}
