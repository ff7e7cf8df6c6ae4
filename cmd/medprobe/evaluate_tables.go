package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/medprobe/medprobe/evaluate"
)

func (s *settings) showSummary(summary *evaluate.Summary, o evaluate.SummaryOptions) error {
	figure := func(x *float64) string {
		if x == nil {
			return "–"
		}
		return strconv.FormatFloat(*x, 'f', 3, 64)
	}
	w := tabwriter.NewWriter(s.out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "LABEL\tSCORE\tN\tPOSITIVE\t%sS\tAUC\t95 %% INTERVAL\tAVG PRECISION\tBRIER\tLOG-LOSS\tECE\n", strings.ToUpper(quoteControl(summary.Unit)))
	for _, r := range summary.Scores {
		interval := "not estimable"
		if r.AUC != nil {
			interval = figure(r.Low) + "–" + figure(r.High) + marked(r.Estimable)
		}
		// Calibration of one class alone has no interval.
		precision, brier, loss, ece := figure(r.AveragePrecision), figure(r.Brier), figure(r.LogLoss), figure(r.ECE)
		if in := r.Intervals; in != nil {
			precision, brier, loss, ece = estimated(in.AveragePrecision), estimated(in.Brier), estimated(in.LogLoss), estimated(in.ECE)
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%s\t%s\t%s\t%s\t%s\t%s\n", quoteControl(r.Label), quoteControl(r.Score), r.N, r.Positives, r.Units,
			figure(r.AUC), interval, precision, brier, loss, ece)
	}
	if len(summary.Differences) > 0 {
		fmt.Fprintf(w, "\nLABEL\tDIFFERENCE\tIN AUC\t95 %% INTERVAL\tP\n")
		for _, d := range summary.Differences {
			fmt.Fprintf(w, "%s\t%s − %s\t%+.3f\t%+.3f to %+.3f%s\t%.3g\n", quoteControl(d.Label), quoteControl(d.A), quoteControl(d.B), d.Value, d.Low, d.High, marked(d.Estimable), d.P)
		}
	}
	if o.Margin > 0 && len(summary.Differences) > 0 {
		showVerdicts(w, summary, o.Margin)
	}
	if o.Threshold != nil {
		showAtThreshold(w, summary, *o.Threshold)
	}
	showAverages(w, summary)
	showSubgroups(w, summary)
	if err := w.Flush(); err != nil {
		return err
	}
	s.noteDoubts(summary)
	return nil
}

// noteDoubts says which figures are not to be relied on, and why.
func (s *settings) noteDoubts(summary *evaluate.Summary) {
	for _, r := range summary.Scores {
		if r.AUC != nil && !r.Estimable {
			s.note("%s, %s: not estimable (*): needs %d more %ss with positives and %d with negatives; what is given is not to be relied on", quoteControl(r.Label), quoteControl(r.Score),
				r.MorePositives, quoteControl(summary.Unit), r.MoreNegatives)
		}
	}
	for _, a := range summary.Averages {
		if len(a.NotEstimable) > 0 {
			s.note("%s*: the means over labels hold %s, not estimable each", a.Score, quoteControl(strings.Join(a.NotEstimable, ", ")))
		}
		if len(a.LeftOut) > 0 {
			s.note("%s*: the means over labels leave out %s: one class only", a.Score, quoteControl(strings.Join(a.LeftOut, ", ")))
		}
	}
	for _, g := range summary.Subgroups {
		if !g.Estimable {
			s.note("%s %s: %s, %s: not estimable: needs %d more %ss with positives and %d with negatives", quoteControl(g.By), subgroupName(g.Group),
				quoteControl(g.Label), quoteControl(g.Score), g.MorePositives, quoteControl(summary.Unit), g.MoreNegatives)
		}
	}
	for _, r := range summary.Scores {
		for _, warning := range r.Warnings {
			if warning.Code == evaluate.WarnFewUnits && !r.Estimable {
				continue // said above
			}
			s.note("%s, %s: %s", r.Label, r.Score, warning.Text)
		}
	}
}

func showVerdicts(w io.Writer, summary *evaluate.Summary, margin float64) {
	fmt.Fprintf(w, "\nMARGIN %v\tDIFFERENCE\tNON-INFERIOR\tP\tEQUIVALENT\tP\n", margin)
	said := func(verdict string, units *int) string {
		switch {
		case verdict != "open":
			return verdict
		case units == nil:
			return "open"
		}
		return fmt.Sprintf("open; about %d %ss would settle it", *units, quoteControl(summary.Unit))
	}
	for _, d := range summary.Differences {
		v := d.Verdict
		fmt.Fprintf(w, "%s\t%s − %s\t%s\t%.3g\t%s\t%.3g\n", quoteControl(d.Label), quoteControl(d.A), quoteControl(d.B),
			said(v.NonInferior, v.UnitsNonInferior), v.PNonInferior, said(v.Equivalent, v.UnitsEquivalent), v.PEquivalent)
	}
}

// marked is put after figures that are not to be relied on.
func marked(estimable bool) string {
	if estimable {
		return ""
	}
	return " *"
}

// estimated renders an estimate that may be missing.
func estimated(e *evaluate.Estimate) string {
	if e == nil {
		return "–"
	}
	return e.String()
}

func showAtThreshold(w io.Writer, summary *evaluate.Summary, threshold float64) {
	fmt.Fprintf(w, "\nAT %v\tSCORE\tTP\tFN\tTN\tFP\tSENSITIVITY\tSPECIFICITY\tPPV\tNPV\tF1\tBALANCED ACCURACY\n", threshold)
	for _, r := range summary.Scores {
		if at := r.AtThreshold; at != nil {
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%s\t%s\t%s\t%s\t%s\t%s\n", quoteControl(r.Label), quoteControl(r.Score),
				at.TruePositives, at.FalseNegatives, at.TrueNegatives, at.FalsePositives,
				estimated(at.Sensitivity), estimated(at.Specificity), estimated(at.PPV), estimated(at.NPV), estimated(at.F1), estimated(at.BalancedAccuracy))
		}
	}
}

func showAverages(w io.Writer, summary *evaluate.Summary) {
	if len(summary.Averages) == 0 {
		return
	}
	fmt.Fprintf(w, "\nOVER LABELS\tLABELS\tMACRO AUC\tWEIGHTED AUC\tMICRO AUC\tHAMMING LOSS\n")
	classes := false
	for _, a := range summary.Averages {
		fmt.Fprintf(w, "%s*\t%d\t%s\t%s\t%s\t%s\n", quoteControl(a.Score), len(a.Labels),
			estimated(a.MacroAUC), estimated(a.WeightedAUC), estimated(a.MicroAUC), estimated(a.HammingLoss))
		classes = classes || a.Classes != nil
	}
	fmt.Fprintf(w, "\nOVER LABELS\tLABELS\tMACRO PRECISION\tWEIGHTED PRECISION\tMICRO PRECISION\n")
	for _, a := range summary.Averages {
		fmt.Fprintf(w, "%s*\t%d\t%s\t%s\t%s\n", quoteControl(a.Score), len(a.Labels), estimated(a.MacroAP), estimated(a.WeightedAP), estimated(a.MicroAP))
	}
	if !classes {
		return
	}
	fmt.Fprintf(w, "\nAS CLASSES\tLABELS\tHAND–TILL M\tWEIGHTED M\tACCURACY\tBALANCED ACCURACY\n")
	for _, a := range summary.Averages {
		if c := a.Classes; c != nil {
			fmt.Fprintf(w, "%s*\t%d\t%s\t%s\t%s\t%s\n", quoteControl(a.Score), len(a.Labels), c.HandTill, c.HandTillWeighted, c.Accuracy, c.BalancedAccuracy)
		}
	}
}

func subgroupName(group string) string {
	if group == "" {
		return "(not known)"
	}
	return quoteControl(group)
}

func showSubgroups(w io.Writer, summary *evaluate.Summary) {
	if len(summary.Subgroups) == 0 {
		return
	}
	fmt.Fprintf(w, "\nBY\tGROUP\tLABEL\tSCORE\tN\tPOSITIVE\t%sS\tAUC\tLESS THAT OF THE REST\tP, ADJUSTED\tOBSERVED\tPREDICTED\tECE\tSENSITIVITY\n", strings.ToUpper(quoteControl(summary.Unit)))
	for _, g := range summary.Subgroups {
		auc, difference, p, predicted, ece, sensitivity := "not estimable", "–", "–", "–", "–", "–"
		if g.AUC != nil {
			auc = g.AUC.String()
		}
		if d := g.Difference; d != nil {
			difference = fmt.Sprintf("%+.3f (%+.3f to %+.3f)", d.Point, d.Low, d.High)
			p = fmt.Sprintf("%.3g", *g.AdjustedP)
		}
		if g.ECE != nil {
			predicted, ece = fmt.Sprintf("%.3f", *g.MeanPredicted), fmt.Sprintf("%.3f", *g.ECE)
		}
		if g.AtThreshold != nil {
			sensitivity = estimated(g.AtThreshold.Sensitivity)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", quoteControl(g.By), subgroupName(g.Group),
			quoteControl(g.Label), quoteControl(g.Score), g.N, g.Positives, g.Units, auc, difference, p, estimated(g.Observed), predicted, ece, sensitivity)
	}
}
