package spiece

import (
	"cmp"
	"slices"
)

// unkPenalty is how far an unknown character scores below the worst piece.
const unkPenalty = 10

// Encode returns the ids of the best cut of the text. No space is put before
// the text, as if the model were loaded with add_dummy_prefix off, which is how
// Hugging Face's SiglipTokenizer loads it.
//
// The cut is that of EncodeOptimized in sentencepiece's src/unigram_model.cc,
// ties included. Sums are kept as float32 but compared before they are rounded,
// so that of two sums that are one float32 the later may win; of equal ones the
// one found first, with the longer last piece, stays.
func (m *Model) Encode(text string) []int {
	s := m.normalizer.normalize(text)
	type node struct {
		id, start int32
		score     float32
	}
	ends := make([]node, len(s)+1) // the best path that ends before each byte
	for i := range ends {
		ends[i].start = -1
	}
	for start := 0; start < len(s); {
		here := ends[start].score
		length := min(charLen(s[start]), len(s)-start)
		single := false
		m.trie.walk(s[start:], func(n int, id int32) {
			p := &m.pieces[id]
			if p.kind == unused {
				return
			}
			score := float64(p.score)
			if p.kind == userDefined {
				score = float64(float32(n)*m.maxScore) - 0.1
			}
			sum := score + float64(here)
			if end := &ends[start+n]; end.start < 0 || sum > float64(end.score) {
				*end = node{id, int32(start), float32(sum)}
			}
			single = single || n == length
		})
		if !single {
			if end := &ends[start+length]; end.start < 0 || m.unkScore+here > end.score {
				*end = node{int32(m.unk), int32(start), m.unkScore + here}
			}
		}
		start += length
	}
	var ids []int
	for end := len(s); end > 0; {
		n := ends[end]
		ids = m.appendReversed(ids, int(n.id), s[n.start:end])
		end = int(n.start)
	}
	slices.Reverse(ids)
	return ids
}

// appendReversed appends one piece, an unknown one as its bytes from last to
// first. Without byte fallback, unknown pieces side by side are one.
func (m *Model) appendReversed(ids []int, id int, surface string) []int {
	switch {
	case id != m.unk:
		return append(ids, id)
	case m.fallback:
		for i := len(surface) - 1; i >= 0; i-- {
			ids = append(ids, m.bytes[surface[i]])
		}
		return ids
	case len(ids) > 0 && ids[len(ids)-1] == m.unk:
		return ids
	}
	return append(ids, id)
}

// charLen is the length of a UTF-8 character by its first byte; the length
// sentencepiece's OneCharLen gives.
func charLen(first byte) int {
	return int("\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x02\x02\x03\x04"[first>>4])
}

// trie finds the pieces that begin a text. The edges of a node stand side by
// side, sorted by label.
type trie struct {
	nodes []trieNode
	root  [256]int32 // the root's children; -1 for none
}

type trieNode struct {
	label byte
	id    int32 // the piece that ends here, or -1
	first int32 // of the children
	count int32
}

func newTrie(pieces []piece, ids []int) trie {
	ids = slices.SortedFunc(slices.Values(ids), func(a, b int) int { return cmp.Compare(pieces[a].text, pieces[b].text) })
	t := trie{nodes: []trieNode{{id: -1}}}
	// span is a node and the sorted pieces below it, which share depth bytes.
	type span struct{ node, from, to, depth int }
	open := []span{{0, 0, len(ids), 0}}
	for len(open) > 0 {
		s := open[len(open)-1]
		open = open[:len(open)-1]
		if s.from < s.to && len(pieces[ids[s.from]].text) == s.depth {
			t.nodes[s.node].id = int32(ids[s.from])
			s.from++
		}
		t.nodes[s.node].first = int32(len(t.nodes))
		for from := s.from; from < s.to; {
			label := pieces[ids[from]].text[s.depth]
			to := from + 1
			for to < s.to && pieces[ids[to]].text[s.depth] == label {
				to++
			}
			open = append(open, span{len(t.nodes), from, to, s.depth + 1})
			t.nodes = append(t.nodes, trieNode{label: label, id: -1})
			t.nodes[s.node].count++
			from = to
		}
	}
	for b := range t.root {
		t.root[b] = t.child(0, byte(b))
	}
	return t
}

func (t *trie) child(node int32, label byte) int32 {
	n := &t.nodes[node]
	low, high := n.first, n.first+n.count
	for low < high {
		middle := (low + high) / 2
		if t.nodes[middle].label < label {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if low < n.first+n.count && t.nodes[low].label == label {
		return low
	}
	return -1
}

// walk calls found for each piece that s begins with, the shortest first.
func (t *trie) walk(s string, found func(length int, id int32)) {
	node := t.root[s[0]]
	for i := 1; node >= 0; i++ {
		if id := t.nodes[node].id; id >= 0 {
			found(i, id)
		}
		if i == len(s) {
			return
		}
		node = t.child(node, s[i])
	}
}
