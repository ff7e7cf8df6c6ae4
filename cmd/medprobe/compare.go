package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/medprobe/medprobe/evaluate"
	"github.com/medprobe/medprobe/internal/atomicfile"
	"github.com/medprobe/medprobe/report"
	"github.com/spf13/cobra"
)

func (s *settings) compareCommand() *cobra.Command {
	var html, markdown string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "compare A B …",
		Short: "Put runs side by side",
		Long: `Compare puts runs beside the first of them. Where both scored the same test samples
with the same labels and patients, the difference in AUC is paired, has an interval
and a p that is adjusted over the findings by Holm. Otherwise the page says what
differs, and gives neither. The settings that differ are listed.

A run is a folder that 'medprobe run' left, or git:REVISION:PATH. For a yes or no see
'medprobe gate'.`,
		Example: `  medprobe report compare run-a run-b
  medprobe report compare git:main:run run --html compare.html --markdown comment.md`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := cmp.Or(checkOut(html, pageEndings), checkOut(markdown, proseEndings)); err != nil {
				return err
			}
			var runs []evaluate.Run
			for _, name := range args {
				read, err := gateFiles(cmd.Context(), name)
				if err != nil {
					return err
				}
				run, err := readRun(name, read)
				if err != nil {
					return err
				}
				runs = append(runs, run)
			}
			compared, err := evaluate.CompareRuns(runs)
			if err != nil {
				return err
			}
			return s.showComparison(compared, html, markdown, asJSON)
		},
	}
	cmd.Flags().StringVar(&html, "html", "", "page to write")
	cmd.Flags().StringVar(&markdown, "markdown", "", "Markdown to write")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// readRun reads a run's folder.
func readRun(name string, read func(string) ([]byte, error)) (evaluate.Run, error) {
	run := evaluate.Run{Name: name}
	files := map[string][]byte{}
	for _, file := range []string{"report.json", "predictions.parquet", "experiment.json"} {
		text, err := read(file)
		switch {
		case errors.Is(err, fs.ErrNotExist) && file == "experiment.json":
			continue // of an earlier medprobe
		case errors.Is(err, fs.ErrNotExist):
			return run, fmt.Errorf("%s holds no %s: want the folder of a run, as 'medprobe run' leaves it", name, file)
		case err != nil:
			return run, err
		}
		files[file] = text
	}
	if err := checkManifest(read, files); err != nil {
		return run, fmt.Errorf("%s: %w", name, err)
	}
	var err error
	if run.Report, err = evaluate.ReadReport(bytes.NewReader(files["report.json"])); err != nil {
		return run, fmt.Errorf("%s: %w", name, err)
	}
	table := files["predictions.parquet"]
	if run.Rows, err = evaluate.ReadPredictions(bytes.NewReader(table), int64(len(table))); err != nil {
		return run, fmt.Errorf("%s: %w", name, err)
	}
	run.Settings = files["experiment.json"]
	return run, nil
}

func (s *settings) showComparison(runs *evaluate.Runs, html, markdown string, asJSON bool) error {
	for _, one := range []struct {
		file  string
		write func(io.Writer, *evaluate.Runs) error
	}{{html, report.CompareHTML}, {markdown, report.CompareMarkdown}} {
		if one.file == "" {
			continue
		}
		if err := atomicfile.Write(one.file, func(w io.Writer) error { return one.write(w, runs) }); err != nil {
			return err
		}
	}
	switch {
	case asJSON:
		return s.json(runs)
	case html != "" || markdown != "":
		return nil
	}
	return report.CompareText(s.out, runs)
}
