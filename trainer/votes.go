package trainer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/medprobe/medprobe/internal/safetensors"
	"github.com/sjwhitworth/golearn/trees"
	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/blas/blas64"
)

// Votes is the part of a head whose scores are shares of votes of golearn's
// classifiers, each class against the others: nearest neighbours, whose samples it
// keeps and lets golearn compare, or trees. Of f votes, v of them for the class, the
// logit gets log((v+½)/(f−v+½)), or, where classes exclude one another,
// log((v+½)/(f+1)).
type Votes struct {
	// Keys is N×D, the samples of [GolearnKNN]; Values is C×N: 1 where a sample is
	// of the class, −1 where it is not, and 0 where that is not known.
	Keys, Values blas32.General
	// Trees are those of [GolearnForest], for each class.
	Trees [][]Tree
}

// Tree is a decision tree; the first node is its root.
type Tree []TreeNode

// TreeNode leads to Left where a vector's Feature is below Threshold, and to Right
// otherwise: to a later node, or to [TreeNo] or [TreeYes].
type TreeNode struct {
	Feature, Left, Right int
	Threshold            float32
}

// What a tree says.
const (
	TreeNo  = -1
	TreeYes = -2
)

// votes returns what the tree says of x.
func (t Tree) votes(x []float32) bool {
	at := 0
	for at >= 0 {
		if n := t[at]; x[n.Feature] < n.Threshold {
			at = n.Left
		} else {
			at = n.Right
		}
	}
	return at == TreeYes
}

// treeOf returns the tree that golearn grew on the dimensions dims. Its thresholds
// lie between two float32 values: the least float32 that is not below one parts
// float32 values as it does.
func treeOf(grown *trees.CARTDecisionTreeClassifier, dims []int) Tree {
	leaf := func(label int64) int {
		if label == 1 {
			return TreeYes
		}
		return TreeNo
	}
	type tree = trees.CARTDecisionTreeClassifier // for its root, whose type has no name here
	var t Tree
	var add func(tree) int
	add = func(from tree) int {
		n, at := from.RootNode, len(t)
		t = append(t, TreeNode{Feature: dims[n.Feature], Threshold: notBelow(n.Threshold), Left: leaf(n.LeftLabel), Right: leaf(n.RightLabel)})
		if n.Left != nil {
			t[at].Left = add(tree{RootNode: n.Left})
		}
		if n.Right != nil {
			t[at].Right = add(tree{RootNode: n.Right})
		}
		return at
	}
	add(tree{RootNode: grown.RootNode})
	return t
}

// notBelow returns the least float32 that is at least v.
func notBelow(v float64) float32 {
	f := float32(v)
	if float64(f) < v {
		f = math.Nextafter32(f, float32(math.Inf(1)))
	}
	return f
}

// fitVotes fills the head by golearn's nearest neighbours or a forest of its trees,
// each class against the others on the rows whose label is known: golearn breaks
// ties between three classes at random, and between two there are none. Nothing is
// chosen.
//
// Oracle: [GolearnNeighbours] and [GolearnForest]; scikit-learn's
// KNeighborsClassifier (testdata/golearn).
func fitVotes(ctx context.Context, x blas32.General, y Targets, _ []string, o Options, h *Head) error {
	if y.Exclusive {
		h.Notes = append(h.Notes, o.Head+" judges each class against the others: the softmax of its shares of votes is not calibrated")
		y.Exclusive = false
	}
	tasks, err := shotTasks(x, y, nil, o)
	if err != nil {
		return err
	}
	h.Votes = &Votes{}
	if o.Head == GolearnKNN {
		h.Votes.Keys = compact(x)
		h.Votes.Values = blas32.General{Rows: len(tasks), Cols: x.Rows, Stride: x.Rows, Data: make([]float32, len(tasks)*x.Rows)}
	}
	for c, t := range tasks {
		f := ClassFit{Class: t.name, Converged: true}
		f.count(t.y)
		some := blas32.General{Rows: len(t.rows), Cols: x.Cols, Stride: x.Cols}
		labels := make([]int8, len(t.rows))
		for k, r := range t.rows {
			labels[k] = int8(t.y[k])
			if o.Head == GolearnKNN {
				h.Votes.Values.Data[c*x.Rows+r] = float32(2*t.y[k] - 1)
			} else {
				some.Data = append(some.Data, x.Data[r*x.Stride:r*x.Stride+x.Cols]...)
			}
		}
		if o.Head == GolearnTrees {
			var forest []Tree
			err := growForest(ctx, some, labels, o.Seed, func(tree *trees.CARTDecisionTreeClassifier, dims []int) error {
				forest = append(forest, treeOf(tree, dims))
				return nil
			})
			if err != nil {
				return fmt.Errorf("%q: %w", t.name, err)
			}
			h.Votes.Trees = append(h.Votes.Trees, forest)
		}
		h.Fits = append(h.Fits, f)
	}
	return nil
}

// add adds to the logits z, n×C, of the rows of x.
func (v *Votes) add(x blas32.General, z blas64.General, exclusive bool) error {
	for c := range z.Cols {
		votes, of, err := v.count(x, c)
		if err != nil {
			return err
		}
		for i, n := range votes {
			if exclusive {
				z.Data[i*z.Stride+c] += math.Log((n + 0.5) / (of + 1))
			} else {
				z.Data[i*z.Stride+c] += math.Log((n + 0.5) / (of - n + 0.5))
			}
		}
	}
	return nil
}

// count returns the votes for class c that each row of x gets, and of how many.
func (v *Votes) count(x blas32.General, c int) (votes []float64, of float64, err error) {
	if v.Trees != nil {
		votes = make([]float64, x.Rows)
		for _, tree := range v.Trees[c] {
			for i := range votes {
				if tree.votes(x.Data[i*x.Stride : i*x.Stride+x.Cols]) {
					votes[i]++
				}
			}
		}
		return votes, float64(len(v.Trees[c])), nil
	}
	some, labels := blas32.General{Cols: v.Keys.Cols, Stride: v.Keys.Cols}, []int8(nil)
	for i, value := range v.Values.Data[c*v.Values.Stride:][:v.Values.Cols] {
		if value != 0 {
			some.Rows++
			some.Data = append(some.Data, v.Keys.Data[i*v.Keys.Stride:i*v.Keys.Stride+v.Keys.Cols]...)
			labels = append(labels, int8((value+1)/2))
		}
	}
	shares, err := GolearnNeighbours(context.Background(), some, labels, x)
	if err != nil {
		return nil, 0, err
	}
	of = neighbourVotes(some.Rows)
	for i := range shares {
		shares[i] = math.Round(shares[i] * of)
	}
	return shares, of, nil
}

// neighbourVotes is how many k = 1, 3, 5, 7, 9 there are for n samples.
func neighbourVotes(n int) float64 { return float64((min(9, n) + 1) / 2) }

// validate checks the shapes of the votes for a head.
func (v *Votes) validate(classes, dim int) error {
	if v.Trees == nil {
		n := v.Keys.Rows
		if n < 1 || v.Keys.Cols != dim || v.Values.Rows != classes || v.Values.Cols != n {
			return fmt.Errorf("votes of %d×%d keys and %d×%d values: want %d dimensions, and a value for each of %d classes", n, v.Keys.Cols, v.Values.Rows, v.Values.Cols, dim, classes)
		}
		if i := slices.IndexFunc(v.Values.Data, func(x float32) bool { return x != 1 && x != -1 && x != 0 }); i >= 0 {
			return fmt.Errorf("votes: value %v: want 1, -1 or 0", v.Values.Data[i])
		}
		return finite(v.Keys)
	}
	if len(v.Trees) != classes {
		return fmt.Errorf("votes of forests for %d classes: want %d", len(v.Trees), classes)
	}
	for _, forest := range v.Trees {
		if len(forest) == 0 {
			return errors.New("votes of a forest without trees")
		}
		for _, tree := range forest {
			for at, n := range tree {
				for _, to := range []int{n.Left, n.Right} {
					if to != TreeNo && to != TreeYes && (to <= at || to >= len(tree)) {
						return fmt.Errorf("votes: node %d of a tree of %d leads to %d: want a later node, %d or %d", at, len(tree), to, TreeNo, TreeYes)
					}
				}
				if n.Feature < 0 || n.Feature >= dim || n.Threshold-n.Threshold != 0 {
					return fmt.Errorf("votes: node %d of a tree: feature %d at %v: want one of %d dimensions, and a finite threshold", at, n.Feature, n.Threshold, dim)
				}
			}
		}
	}
	return nil
}

// stackVotes returns the votes of the classes of several heads, each with samples
// of its own.
func stackVotes(all []*Votes) *Votes {
	stacked := &Votes{}
	var caches []*Cache
	for _, v := range all {
		if v.Trees != nil {
			stacked.Trees = append(stacked.Trees, v.Trees...)
		} else {
			caches = append(caches, &Cache{Keys: v.Keys, Values: v.Values})
		}
	}
	if caches != nil {
		both := stackCaches(caches)
		stacked.Keys, stacked.Values = both.Keys, both.Values
	}
	return stacked
}

// arrays are those of the votes in a file: votes.keys [N, D] and votes.values
// [C, N], or votes.nodes [nodes, 4], of each the feature, the threshold and where
// it leads (−1 no, −2 yes, or a node's place in its tree), and votes.trees [C,
// trees], the number of nodes of each tree, in their order.
func (v *Votes) arrays() []safetensors.Array {
	if v.Trees == nil {
		return []safetensors.Array{
			{Name: "votes.keys", Shape: []int{v.Keys.Rows, v.Keys.Cols}, Data: compact(v.Keys).Data},
			{Name: "votes.values", Shape: []int{v.Values.Rows, v.Values.Cols}, Data: compact(v.Values).Data},
		}
	}
	var nodes, sizes []float32
	for _, forest := range v.Trees {
		for _, tree := range forest {
			sizes = append(sizes, float32(len(tree)))
			for _, n := range tree {
				nodes = append(nodes, float32(n.Feature), n.Threshold, float32(n.Left), float32(n.Right))
			}
		}
	}
	return []safetensors.Array{
		{Name: "votes.nodes", Shape: []int{len(nodes) / 4, 4}, Data: nodes},
		{Name: "votes.trees", Shape: []int{len(v.Trees), len(v.Trees[0])}, Data: sizes},
	}
}

// readVotes reads the votes that the file holds, nil if none.
func readVotes(f tensors) (v *Votes, err error) {
	_, keys := f.Tensor("votes.keys")
	_, nodes := f.Tensor("votes.nodes")
	switch {
	case keys:
		v = &Votes{}
		if v.Keys, err = readMatrix(f, "votes.keys"); err == nil {
			v.Values, err = readMatrix(f, "votes.values")
		}
		return v, err
	case !nodes:
		return nil, nil
	}
	all, err := readMatrix(f, "votes.nodes")
	if err != nil {
		return nil, err
	}
	sizes, err := readMatrix(f, "votes.trees")
	if err != nil {
		return nil, err
	}
	if all.Cols != 4 {
		return nil, fmt.Errorf("votes.nodes of %d×%d: want 4 columns", all.Rows, all.Cols)
	}
	v = &Votes{Trees: make([][]Tree, sizes.Rows)}
	at := 0
	for k, size := range sizes.Data {
		n := int(size)
		if float32(n) != size || n < 1 || at+n > all.Rows {
			return nil, fmt.Errorf("votes.trees: a tree of %v nodes, of %d that are left: want at least 1", size, all.Rows-at)
		}
		tree := make(Tree, n)
		for i := range tree {
			row := all.Data[4*(at+i):]
			tree[i] = TreeNode{Feature: int(row[0]), Threshold: row[1], Left: int(row[2]), Right: int(row[3])}
		}
		v.Trees[k/sizes.Cols], at = append(v.Trees[k/sizes.Cols], tree), at+n
	}
	if at != all.Rows {
		return nil, fmt.Errorf("votes.nodes of %d nodes, the trees have %d", all.Rows, at)
	}
	return v, nil
}
