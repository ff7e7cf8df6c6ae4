package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/medprobe/medprobe/experiment"
	"github.com/medprobe/medprobe/internal/atomicfile"
	"github.com/spf13/cobra"
)

func (s *settings) suggestCommand() *cobra.Command {
	var enc encoderFlags
	var q experiment.Suggest
	var head, out string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "suggest SPEC",
		Short: "Name the unlabelled images whose labels would teach most",
		Long: `Suggest names the next images to label: of those that a head is least sure of,
a few that are unlike one another, the most telling first; --k says how many, ten
by default. Without --head it goes by unlikeness alone. A sample is unlabelled where none of its findings is known,
or, with --finding, that one is not. It names one image of a patient, and none of
a patient that has a label, as long as there are others; samples whose part is
test are never named. The same data, head and seed give the same images.

Method: Zhdanov, Diverse mini-batch active learning, arXiv 1901.05954.`,
		Example: `  medprobe suggest csv:labels.csv --encoder demo --k 20 --out next.csv
  medprobe suggest csv:labels.csv --encoder demo --head run/heads/linear-probe.safetensors --k 20`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if err := enc.check(cmd); err != nil {
				return err
			}
			if q.K < 1 {
				return usagef(cmd, "--k %d: want how many images to name, 1 or more", q.K)
			}
			if err := checkMaxFailures(cmd, q.MaxFailures); err != nil {
				return err
			}
			if err := checkOut(out, []string{".csv", ".txt"}); err != nil {
				return err
			}
			if q.Data, err = s.spec(args[0]); err != nil {
				return err
			}
			if head != "" {
				if q.Head, err = loadHead(head); err != nil {
					return err
				}
			}
			q.Seed = s.seed
			var found *experiment.Suggestions
			err = s.withEncoder(cmd.Context(), enc.name, enc.profile, func(o experiment.Options) error {
				found, err = q.Run(cmd.Context(), o)
				return err
			})
			if err != nil {
				return err
			}
			if out != "" {
				if err := atomicfile.Write(out, func(w io.Writer) error { return writeSuggestions(w, found) }); err != nil {
					return fmt.Errorf("write %s: %w", out, err)
				}
			}
			if asJSON {
				return s.json(found)
			}
			return s.showSuggestions(found)
		},
	}
	enc.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&head, "head", "", "head.safetensors that says what is uncertain")
	flags.IntVar(&q.K, "k", 10, "how many images to name")
	flags.StringVar(&q.Finding, "finding", "", "finding to be labelled (default: samples without any label)")
	flags.StringVar(&out, "out", "", "CSV file to write, for a spreadsheet")
	flags.StringVar(&q.MaxFailures, "max-failures", "5%", "how many samples may fail before the run stops: a number, a share, or inf")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (s *settings) showSuggestions(found *experiment.Suggestions) error {
	fmt.Fprintf(s.out, "%d of %d unlabelled samples, by %s (%d labelled, %d for the test, %d failed)\n\n", len(found.Samples), found.Candidates, found.Method, found.Labelled, found.ForTest, found.Failed)
	w := tabwriter.NewWriter(s.out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "RANK\tID\t%s\tUNCERTAINTY\tSTANDS FOR\n", strings.ToUpper(quoteControl(found.Unit)))
	for _, p := range found.Samples {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%d\n", p.Rank, quoteControl(p.ID), orDash(quoteControl(p.Patient)), orDash(uncertainty(p)), p.StandsFor)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, text := range found.Warnings {
		s.note("%s", text)
	}
	return nil
}

func uncertainty(p experiment.Pick) string {
	if p.Uncertainty == nil {
		return ""
	}
	return strconv.FormatFloat(*p.Uncertainty, 'f', 3, 64)
}

// writeSuggestions writes a table for people, who will open it in a spreadsheet.
func writeSuggestions(w io.Writer, found *experiment.Suggestions) error {
	table := csv.NewWriter(w)
	rows := [][]string{{"rank", "id", "patient", "uncertainty", "stands_for"}}
	for _, p := range found.Samples {
		rows = append(rows, []string{strconv.Itoa(p.Rank), cell(p.ID), cell(p.Patient), uncertainty(p), strconv.Itoa(p.StandsFor)})
	}
	return table.WriteAll(rows)
}

// cell keeps a spreadsheet from taking a text for a formula.
func cell(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r\n\x00", rune(text[0])) {
		return "'" + text
	}
	return text
}
