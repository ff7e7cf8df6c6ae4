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

// kind is a kind of head: how it is fitted, whether it is nothing without a zero-shot
// classifier, and what memory it takes.
type kind struct {
	name       string
	fit        fitting
	needsPrior bool
	footprint  footprint
}

// kinds are all of them, the default first. A sweep of logistic and linear-probe takes
// sweepColumns more.
func kinds() []kind {
	return []kind{
		{LinearProbe, fitLogistic, false, footprint{2, 0, 0, 2, 0}},
		{Logistic, fitLogistic, false, footprint{2, 0, 0, 2, 0}},
		{TipAdapter, byTask((*task).fitTipAdapter), true, footprint{7, 0.2, 0, 2, 50}},
		{TipAdapterF, byTask((*task).fitTipAdapter), true, footprint{40, 1.5, 2, 0, 50}},
		{GDA, byTask((*task).fitGDA), false, footprint{3, 0, 0, 8, 50}},
		{Prototype, byTask((*task).fitPrototype), false, footprint{2, 0, 0, 0, 30}},
		{KNN, byTask((*task).fitKNN), false, footprint{3, 0.2, 0, 0, 50}},
		{MLP, fitNetwork, false, footprint{4, 0, 0, 0, 50}},
		{LPPlusPlus, byTask((*task).fitLPPlusPlus), true, footprint{3, 0, 0, 0, 40}},
		{CLAP, byTask((*task).fitCLAP), true, footprint{4, 0, 2, 0, 50}},
		{SSText, byTask((*task).fitSSText), true, footprint{2, 0, 0, 0, 30}},
		{Ensemble, fitEnsemble, false, footprint{6, 0.2, 0, 8, sweepColumns}},
		{GolearnLogistic, fitGolearn, false, footprint{11, 0, 0, 0, 50}},
		{GolearnKNN, fitVotes, false, footprint{2, 0, 0, 0, 10}},
		{GolearnTrees, fitVotes, false, footprint{4, 0, 0, 0, 100}},
	}
}

// valueKinds are those of values, which [FitValues] fits.
func valueKinds() []kind {
	return []kind{
		{name: Ridge, footprint: footprint{7, 0, 0, 2, 70}},
		{name: RidgePrior, needsPrior: true, footprint: footprint{7, 0, 0, 2, 70}},
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
func NeedsPrior(kind string) bool { return kindOf(kind).needsPrior }
