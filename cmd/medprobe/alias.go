package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/medprobe/medprobe/evaluate"
	"github.com/medprobe/medprobe/registry"
	"github.com/medprobe/medprobe/report"
	"github.com/spf13/cobra"
)

func (s *settings) registryAliasCommand() *cobra.Command {
	var reason string
	var remove, gated bool
	rules := evaluate.DefaultGateRules()
	var allow []string
	cmd := &cobra.Command{
		Use:   "alias NAME ALIAS VERSION",
		Short: "Let an alias point at a version",
		Long: `Alias moves an alias such as champion, in one step, and notes who moved it, when
and why. With --gate it moves only if the version passes against the one that the
alias points at now; otherwise it exits as 'medprobe gate' does: 3 failed, 4
inconclusive, 5 incomparable. With --remove and no version it takes the alias away.`,
		Example: `  medprobe registry alias cxr champion 2 --reason 'more labels'
  medprobe registry alias cxr champion 3 --gate`,
		Args: cobra.RangeArgs(2, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			if remove != (len(args) == 2) {
				return usagef(cmd, "want NAME ALIAS VERSION, or NAME ALIAS --remove")
			}
			if err := rules.Validate(); err != nil {
				return usagef(cmd, "%w", err)
			}
			return s.usingRegistry(cmd.Context(), func(r *registry.Registry) error {
				if remove {
					return r.RemoveAlias(cmd.Context(), args[0], args[1], whoami(), reason)
				}
				number, err := strconv.Atoi(args[2])
				if err != nil || number < 1 {
					return usagef(cmd, "version %q: want a number from 1", args[2])
				}
				move := func() error { return r.SetAlias(cmd.Context(), args[0], args[1], number, whoami(), reason) }
				if gated {
					from, err := s.promote(cmd.Context(), r, args[0], args[1], number, rules, allow)
					if err != nil {
						return err
					}
					move = func() error { return r.MoveAlias(cmd.Context(), args[0], args[1], from, number, whoami(), reason) }
				}
				if err := move(); err != nil {
					return err
				}
				fmt.Fprintf(s.out, "%s@%s is version %d\n", args[0], args[1], number)
				return nil
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&reason, "reason", "", "why, for the history")
	flags.BoolVar(&remove, "remove", false, "take the alias away")
	flags.BoolVar(&gated, "gate", false, "only if the version passes against the one that has the alias")
	flags.Float64Var(&rules.Margin, "margin", rules.Margin, "drop in AUC that the gate bears")
	flags.Float64Var(&rules.MinEffect, "min-effect", rules.MinEffect, "least drop in AUC that fails")
	flags.Float64Var(&rules.Alpha, "alpha", rules.Alpha, "share of false alarms")
	flags.StringSliceVar(&allow, "allow", nil, "what may differ, as for 'medprobe gate'")
	return cmd
}

// promote returns an error unless a version passes the gate against the one that
// has the alias now, whose number it returns, 0 for none; nobody's alias may be taken
// by the first.
func (s *settings) promote(ctx context.Context, r *registry.Registry, model, alias string, number int, rules evaluate.GateRules, allow []string) (from int, err error) {
	current, err := r.Find(ctx, registry.Reference{Model: model, Alias: alias})
	if errors.Is(err, registry.ErrNotFound) {
		s.note("%s@%s is nothing yet: there is nothing to compare with", model, alias)
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	version, err := r.Find(ctx, registry.Reference{Model: model, Number: number})
	if err != nil {
		return 0, err
	}
	baseline, err := versionSide(r, current)
	if err != nil {
		return 0, err
	}
	candidate, err := versionSide(r, version)
	if err != nil {
		return 0, err
	}
	g, err := s.decide(ctx, baseline, candidate, rules, allow)
	if err != nil {
		return 0, err
	}
	if err := report.GateText(s.out, g); err != nil {
		return 0, err
	}
	if g.Verdict != evaluate.Pass {
		s.note("%s@%s stays version %d", model, alias, current.Number)
		return 0, &verdictError{g.Verdict}
	}
	return current.Number, nil
}
