// Package trainer turns a matrix of embeddings and labels into a head.
//
// The first call to make is [Fit]: vectors (n×D, float32, length one), what is
// known of each class in each of them ([Targets]), the patient of each row, and
// [Options]; out comes a [Head] with W (C×D) and b (C), which scores vectors by
// [Head.Probabilities], says in its Fits how each class was fitted, and is kept
// by [Head.Save]. [ZeroShot] makes a head of the prompts alone.
//
// # Heads
//
// "linear-probe", the default, starts from the zero-shot classifier
// ([Options.Prior]) and leaves it by as much as the labels bear out: Δ in
//
//	λ/2·‖Δ‖² + Σ log-loss(y, τ·x·T + x·Δ + b)
//
// is averaged over the path of λ, from ∞, which is zero-shot itself, to 1e-3,
// with weights from cross-validation on the support set alone, in which no
// patient is ever divided. "logistic" is scikit-learn's LogisticRegression, to
// its objective and its meaning of C. All their labels, folds and penalties are
// solved side by side, as columns of the same products ([Multiplier]). The heads
// of papers ("tip-adapter", "gda", "clap" and others; see [Kinds]) follow their
// formulas and defaults. "golearn-logistic" and [GolearnNeighbours]
// are the outside opinion: LIBLINEAR and nearest neighbours of golearn.
//
// "ensemble" is a mean of linear heads. [FitJoined] joins clinical covariates to
// the vectors, [FitValues] fits heads of continuous values.
//
// # What it guards
//
// Nothing but the rows given is looked at, also not to choose a penalty. The
// same rows and seed give the same head, whatever the number of processors and,
// within rounding, the order of the rows. A head refuses vectors of another
// encoder or preprocessing ([Head.Check]). What did not converge is not silent.
//
// The package knows matrices and labels only: no images, no database, no
// encoder. Calibration and thresholds are chosen on cross-validated scores, or by
// [Head.Calibrate] on a validation part.
package trainer
