// Command medprobe trains and judges few-shot classifiers on frozen MedSigLIP
// embeddings. It reads flags and sets exit codes; all else is in the packages
// it calls.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"

	"github.com/medprobe/medprobe/encoder"
	"github.com/medprobe/medprobe/internal/near"
	"github.com/spf13/cobra"
)

// Exit codes; CONTRIBUTING.md lists who relies on them.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
	// What a gate says.
	exitFailed       = 3
	exitInconclusive = 4
	exitIncomparable = 5
	exitInterrupt    = 130
)

// version is set by the build.
var version = "dev"

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run executes one command line and returns its exit code.
func run(args []string, stdout, stderr io.Writer) int {
	// After the first interrupt the signals get their usual effect back, so
	// that a second one ends the process at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)

	root := newRoot(&ui{out: stdout, err: stderr})
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	var usage *usageError
	var verdict *verdictError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "medprobe: %s\nhint: %s --help\n", quoteControl(err.Error()), strings.TrimSpace("medprobe "+usage.command))
		return exitUsage
	case errors.As(err, &verdict):
		return verdict.code()
	case ctx.Err() != nil:
		fmt.Fprintln(stderr, "medprobe: interrupted; what was stored stays stored, run again to continue")
		return exitInterrupt
	default:
		fmt.Fprintf(stderr, "medprobe: %s\n", quoteControl(err.Error()))
		return exitError
	}
}

// usageError is a command line that cannot be understood.
type usageError struct {
	command string
	err     error
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// usagef returns a usage error of cmd.
func usagef(cmd *cobra.Command, format string, args ...any) error {
	return &usageError{command: commandName(cmd), err: fmt.Errorf(format, args...)}
}

func commandName(cmd *cobra.Command) string {
	name := cmd.Name()
	for p := cmd.Parent(); p != nil && p.HasParent(); p = p.Parent() {
		name = p.Name() + " " + name
	}
	if !cmd.HasParent() {
		return ""
	}
	return name
}

func newRoot(u *ui) *cobra.Command {
	s := &settings{ui: u}
	root := &cobra.Command{
		Use:   "medprobe",
		Short: "Few-shot classifiers on frozen MedSigLIP embeddings, with honest intervals",
		Long: `medprobe turns a frozen MedSigLIP encoder and a handful of labels into a
classifier that can be trusted, compared and shipped. Images go in once, embeddings
stay, and everything after that is cheap, exact and repeatable.

Start with 'medprobe demo': it needs no data and no network. Then, with a table of
your own images or a folder with a folder for each class:

  medprobe dataset inspect csv:labels.csv     what is made of your table
  medprobe encoder import google/medsiglip-448 --name medsiglip --download
  medprobe run experiment.yaml                AUCs with intervals, run/report.html
  medprobe report run                         the same in the terminal

medprobe-demo/experiment.yaml, which the demo leaves, is one to copy. Where something
does not run, 'medprobe doctor' says why.

Exit codes: 0 ok, 1 error, 2 usage, 130 interrupted; of the gate, 3 failed,
4 inconclusive, 5 incomparable.
medprobe is research software and not a medical device.`,
		Example:       "  medprobe demo",
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		PersistentPreRunE: func(cmd *cobra.Command, args []string) error {
			if err := encoder.CheckDevice(s.device); err != nil {
				return usagef(cmd, "--%w", err)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef(cmd, "unknown command %q%s", args[0], suggest(cmd, args[0]))
			}
			return cmd.Help()
		},
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usagef(cmd, "%w", plainFlagError(cmd, err)) })
	flags := root.PersistentFlags()
	flags.StringVar(&s.cache, "cache", "", "file of embeddings, or postgres://USER@HOST/DATABASE (default: $MEDPROBE_CACHE or the user's cache folder)")
	flags.StringVar(&s.ortLib, "ort-lib", "", "ONNX Runtime library (default: found; see 'medprobe doctor')")
	flags.StringVar(&s.device, "device", "cpu", "where encoders run: cpu, or cuda[:N] with an ONNX Runtime built for it")
	flags.BoolVar(&s.allowOutside, "allow-outside", false, "let image paths lead out of the dataset's folder")
	flags.BoolVar(&s.allowRemote, "allow-remote", false, "let image paths be http(s) addresses")
	flags.StringVar(&s.idKey, "id-key", "", "file with a secret key: ids and patients become HMACs under it")
	flags.Uint64Var(&s.seed, "seed", 0, "governs everything random")

	for _, g := range []struct {
		id, title string
		commands  []*cobra.Command
	}{
		{"start", "To begin with:", []*cobra.Command{s.demoCommand(), s.runCommand(), s.reportCommand(), s.doctorCommand()}},
		{"data", "Your data, and prompts:", []*cobra.Command{s.datasetCommand(), s.zeroshotCommand(), s.searchCommand(), s.suggestCommand()}},
		{"encoder", "Encoders and vectors:", []*cobra.Command{s.encoderCommand(), s.embedCommand(), s.encodeCommand(), s.cacheCommand(), s.preprocessCommand(), s.tokenizeCommand()}},
		{"matrix", "Heads and scores, step by step:", []*cobra.Command{s.fitCommand(), s.predictCommand(), s.evaluateCommand()}},
		{"ship", "Keeping, shipping and watching heads:", []*cobra.Command{s.registryCommand(), s.gateCommand(), s.driftCommand()}},
	} {
		root.AddGroup(&cobra.Group{ID: g.id, Title: g.title})
		for _, cmd := range g.commands {
			cmd.GroupID = g.id
			root.AddCommand(cmd)
		}
	}
	root.AddCommand(s.manCommand())
	root.SetHelpCommand(helpCommand())
	root.SetHelpCommandGroupID("start")
	for _, cmd := range root.Commands() {
		checkArgs(cmd)
	}
	return root
}

// helpCommand is cobra's, but a command that is not there is an error.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Help about any command",
		Example: "  medprobe help run",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return usagef(about, "unknown command %q%s", rest[0], suggest(about, rest[0]))
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
	}
}

var flagName = regexp.MustCompile(`--([a-zA-Z0-9-]+)`)

// plainFlagError says what a flag wants, not what strconv says of it, and which flag
// may be meant by one that is not there.
func plainFlagError(cmd *cobra.Command, err error) error {
	message, number, ok := strings.Cut(err.Error(), ": strconv.Parse")
	if cmd.HasSubCommands() && cmd.HasParent() && cmd.Use == cmd.Name() {
		return fmt.Errorf("%s needs a command before its flags%s", commandName(cmd), suggest(cmd, ""))
	}
	if name, isMissing := strings.CutPrefix(message, "flag needs an argument: --"); isMissing && cmd.Flag(name) != nil {
		return fmt.Errorf("--%s is without its value: %s", name, strings.TrimSuffix(cmd.Flag(name).Usage, " (required)"))
	}
	if name, isUnknown := strings.CutPrefix(message, "unknown flag: --"); isUnknown {
		var names []string
		for _, found := range flagName.FindAllStringSubmatch(cmd.Flags().FlagUsages(), -1) {
			names = append(names, found[1])
		}
		if hint := near.Hint(name, names); strings.Contains(hint, "did you mean") {
			return fmt.Errorf("%w%s", err, strings.Replace(hint, `"`, `"--`, 1))
		}
	}
	if !ok {
		return err
	}
	want := "a number"
	switch {
	case strings.HasPrefix(number, "Uint"):
		want = "a whole number from 0"
	case strings.HasPrefix(number, "Int"):
		want = "a whole number"
	case strings.HasPrefix(number, "Bool"):
		want = "true or false"
	}
	return fmt.Errorf("%s: want %s", message, want)
}

// checkArgs makes a wrong number of arguments a usage error everywhere, which
// names what is missing or too much.
func checkArgs(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		_, names, _ := strings.Cut(cmd.Use, " ")
		wanted := len(strings.Fields(names))
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			err := check(cmd, args)
			_, isSaid := errors.AsType[*usageError](err)
			switch {
			case err == nil || isSaid:
				return err
			case len(args) < wanted:
				return usagef(cmd, "%s needs %s", commandName(cmd), names)
			default:
				return usagef(cmd, "%s: one argument too many: %q", commandName(cmd), args[wanted])
			}
		}
	}
	if cmd.HasSubCommands() && cmd.RunE == nil {
		cmd.Args = cobra.ArbitraryArgs
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef(cmd, "unknown command %q%s", args[0], suggest(cmd, args[0]))
			}
			return usagef(cmd, "%s needs a command", commandName(cmd))
		}
	}
	for _, sub := range cmd.Commands() {
		checkArgs(sub)
	}
}
