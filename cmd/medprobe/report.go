package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/medprobe/medprobe/evaluate"
	"github.com/medprobe/medprobe/internal/atomicfile"
	"github.com/medprobe/medprobe/report"
	"github.com/spf13/cobra"
)

// reportFiles are the files to write.
type reportFiles struct {
	html, markdown, predictions string
	vega, figures               string // folders
}

func (s *settings) reportCommand() *cobra.Command {
	var files reportFiles
	var asJSON, noImages bool
	cmd := &cobra.Command{
		Use:   "report DIR",
		Short: "Show the report of a run, or write it as page, Markdown, figures or tables",
		Long: `Report shows what 'medprobe run' left in DIR. Its figures come as Vega-Lite
specifications with their data (--vega), or as PNG and PDF (--figures), one file for
each plot; its predictions as CSV for a spreadsheet, or as they are, by the ending of
the file: .csv or .parquet. 'medprobe report compare' puts runs side by side.`,
		Example: `  medprobe report run
  medprobe report run --html page.html --markdown comment.md --no-images
  medprobe report run --predictions predictions.csv
  medprobe report run --figures figures --vega vega
  medprobe report compare run-a run-b`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := readReport(args[0])
			if err != nil {
				return err
			}
			if noImages {
				r = r.WithoutImages()
			}
			wrote, err := files.write(r, args[0])
			if err != nil || wrote && !asJSON {
				return err
			}
			return s.showReport(r, args[0], asJSON)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&files.html, "html", "", "page to write")
	flags.StringVar(&files.markdown, "markdown", "", "Markdown to write")
	flags.StringVar(&files.predictions, "predictions", "", "table of predictions to write: .csv for a spreadsheet, or .parquet; it names samples and patients")
	flags.StringVar(&files.vega, "vega", "", "folder to write Vega-Lite specifications to")
	flags.StringVar(&files.figures, "figures", "", "folder to write PNG and PDF to")
	flags.BoolVar(&noImages, "no-images", false, "leave thumbnails out")
	flags.BoolVar(&asJSON, "json", false, "print report.json")
	cmd.AddCommand(s.compareCommand(), s.schemaCommand())
	return cmd
}

func (s *settings) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "schema",
		Short:   "Print the JSON Schema of report.json",
		Example: "  medprobe report schema > report.schema.json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := s.out.Write(evaluate.ReportSchema)
			return err
		},
	}
}

// write writes what is asked for, and says whether anything was.
func (f *reportFiles) write(r *evaluate.Report, dir string) (wrote bool, err error) {
	err = cmp.Or(checkOut(f.html, pageEndings), checkOut(f.markdown, proseEndings), checkOut(f.predictions, tableEndings))
	if err != nil {
		return false, err
	}
	for _, one := range []struct {
		file string
		fill func(io.Writer) error
	}{
		{f.html, func(w io.Writer) error { return report.HTML(w, r) }},
		{f.markdown, func(w io.Writer) error { return report.Markdown(w, r) }},
		{f.predictions, func(w io.Writer) error { return writePredictionsAs(w, f.predictions, dir) }},
	} {
		if one.file == "" {
			continue
		}
		wrote = true
		if err := atomicfile.Write(one.file, one.fill); err != nil {
			return wrote, err
		}
	}
	for _, one := range []struct {
		folder string
		files  func(*evaluate.Report) ([]report.File, error)
	}{{f.vega, report.Vega}, {f.figures, report.Figures}} {
		if one.folder == "" {
			continue
		}
		wrote = true
		files, err := one.files(r)
		if err == nil {
			err = writeInto(one.folder, files)
		}
		if err != nil {
			return wrote, err
		}
	}
	return wrote, nil
}

// writeInto writes files into a folder, which is made if it is not there; files of
// the same names are replaced, others left alone.
func writeInto(folder string, files []report.File) error {
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return err
	}
	for _, f := range files {
		if err := atomicfile.WriteBytes(filepath.Join(folder, f.Name), f.Data); err != nil {
			return err
		}
	}
	return nil
}

// readReport reads the report of a run's folder.
func readReport(dir string) (r *evaluate.Report, err error) {
	if isFile(dir) {
		return nil, noRun(dir)
	}
	file, err := os.Open(filepath.Join(dir, "report.json"))
	if errors.Is(err, os.ErrNotExist) {
		inner := filepath.Join(dir, "run")
		if _, err := os.Stat(filepath.Join(inner, "report.json")); err == nil {
			return nil, fmt.Errorf("%s holds no report.json; did you mean %q?", dir, inner)
		}
		return nil, fmt.Errorf("%s holds no report.json: want the folder of a run, as 'medprobe run' leaves it", dir)
	} else if err != nil {
		return nil, err
	}
	defer closing(file, &err)
	if r, err = evaluate.ReadReport(file); err != nil {
		return nil, fmt.Errorf("%s: %w", file.Name(), err)
	}
	return r, nil
}
