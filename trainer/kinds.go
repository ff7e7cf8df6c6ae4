package trainer

import (
	"context"

	"gonum.org/v1/gonum/blas/blas32"
)

// The kinds of heads.
const (
	Logistic    = "logistic"
	LinearProbe = "linear-probe"
	TipAdapter  = "tip-adapter"
	TipAdapterF = "tip-adapter-f"
	GDA         = "gda"
	Prototype   = "prototype"
	KNN         = "knn"
	MLP         = "mlp"
	LPPlusPlus  = "lp++"
	CLAP        = "clap"
	SSText      = "ss-text"
	Ensemble    = "ensemble"
	// GolearnLogistic is LIBLINEAR as golearn ships it, at C or else at C = 1,
	// without class weights or standardisation.
	GolearnLogistic = "golearn-logistic"
	// GolearnKNN is golearn's nearest neighbours, whose votes for k = 1, 3, 5, 7 and
	// 9 are counted, GolearnTrees a forest of 100 of its trees. They choose nothing.
	GolearnKNN   = "golearn-knn"
	GolearnTrees = "golearn-forest"
)

// The kinds of heads whose outputs are values and not logits.
const (
	Ridge      = "ridge"
	RidgePrior = "ridge-prior"
)

// fitting fills a head of a kind: its weights or what else it scores by, and its Fits.
type fitting func(ctx context.Context, x blas32.General, y Targets, groups []string, o Options, h *Head) error

// trait is what only some kinds of heads need or take.
type trait uint

const (
	needsPrior trait = 1 << iota // it is nothing without a zero-shot classifier
	takesC
	takesGrid    // of C
	takesWeights // of classes and of samples, and standardisation
	takesL1
	takesAlpha
	takesBeta
	takesNeighbours
	takesCovariates
)

// convex is what both penalised regressions take.
const convex = takesC | takesGrid | takesWeights | takesCovariates

// kind is a kind of head: how it is fitted, what it needs and takes, and its memory.
type kind struct {
	name      string
	fit       fitting
	traits    trait
	footprint footprint
}

func (k kind) has(t trait) bool { return k.traits&t != 0 }

// kinds are all of them, the default first. A sweep of C takes sweepColumns more.
func kinds() []kind {
	return []kind{
		{LinearProbe, fitLogistic, convex, footprint{2, 0, 0, 2, 0}},
		{Logistic, fitLogistic, convex | takesL1, footprint{2, 0, 0, 2, 0}},
		{TipAdapter, byTask((*task).fitTipAdapter), needsPrior | takesAlpha | takesBeta, footprint{7, 0.2, 0, 2, 50}},
		{TipAdapterF, byTask((*task).fitTipAdapter), needsPrior | takesAlpha | takesBeta, footprint{40, 1.5, 2, 0, 50}},
		{GDA, byTask((*task).fitGDA), takesAlpha, footprint{3, 0, 0, 8, 50}},
		{Prototype, byTask((*task).fitPrototype), 0, footprint{2, 0, 0, 0, 30}},
		{KNN, byTask((*task).fitKNN), takesNeighbours, footprint{3, 0.2, 0, 0, 50}},
		{MLP, fitNetwork, 0, footprint{4, 0, 0, 0, 50}},
		{LPPlusPlus, byTask((*task).fitLPPlusPlus), needsPrior, footprint{3, 0, 0, 0, 40}},
		{CLAP, byTask((*task).fitCLAP), needsPrior, footprint{4, 0, 2, 0, 50}},
		{SSText, byTask((*task).fitSSText), needsPrior, footprint{2, 0, 0, 0, 30}},
		{Ensemble, fitEnsemble, 0, footprint{6, 0.2, 0, 8, sweepColumns}},
		{GolearnLogistic, fitGolearn, takesC, footprint{11, 0, 0, 0, 50}},
		{GolearnKNN, fitVotes, 0, footprint{2, 0, 0, 0, 10}},
		{GolearnTrees, fitVotes, 0, footprint{4, 0, 0, 0, 100}},
	}
}

// valueKinds are those of values, which [FitValues] fits.
func valueKinds() []kind {
	return []kind{
		{Ridge, nil, takesAlpha, footprint{7, 0, 0, 2, 70}},
		{RidgePrior, nil, needsPrior | takesAlpha, footprint{7, 0, 0, 2, 70}},
	}
}

// kindOf returns the kind of a name; the zero kind if there is none.
func kindOf(name string) kind {
	for _, k := range append(kinds(), valueKinds()...) {
		if k.name == name {
			return k
		}
	}
	return kind{}
}

// Kinds lists the kinds of heads, the default first.
func Kinds() []string { return namesOf(kinds()) }

// ValueKinds lists the kinds of heads for continuous targets.
func ValueKinds() []string { return namesOf(valueKinds()) }

func namesOf(all []kind) (names []string) {
	for _, k := range all {
		names = append(names, k.name)
	}
	return names
}

// NeedsPrior reports whether a kind of head is nothing without a zero-shot classifier.
func NeedsPrior(kind string) bool { return kindOf(kind).has(needsPrior) }

// TakesCovariates reports whether [FitJoined] fits a kind of head.
func TakesCovariates(kind string) bool { return kindOf(kind).has(takesCovariates) }
