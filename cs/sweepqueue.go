package cs

import "container/heap"

// scope is what one list can tell of: clusters, or the children of a kind that one
// cluster has.
type scope struct {
	kind    Kind
	cluster string // empty for clusters
}

func scopeOf(ref Ref) scope {
	if ref.Kind == Cluster {
		return scope{kind: Cluster}
	}
	return scope{ref.Kind, ref.Cluster}
}

// queue has the objects of a scope that no list was begun for since they were
// expected, those that are due first in front.
type queue struct {
	objects objects
	// whole is the last list of a cluster's children: it has those, too, that it
	// was not begun for. Nil for clusters.
	whole *listing
}

// first is the one in front; there must be one.
func (q *queue) first() *expected { return q.objects[0] }

func (q *queue) empty() bool { return len(q.objects) == 0 }

// put adds an object, or moves it to where its due time belongs.
func (q *queue) put(o *expected) {
	if o.at >= 0 {
		heap.Fix(&q.objects, o.at)
		return
	}
	heap.Push(&q.objects, o)
}

// remove takes an object out if it is in it.
func (q *queue) remove(o *expected) {
	if o.at >= 0 {
		heap.Remove(&q.objects, o.at)
	}
}

// objects is a heap for container/heap.
type objects []*expected

// Len implements heap.Interface.
func (h objects) Len() int { return len(h) }

// Less implements heap.Interface.
func (h objects) Less(i, j int) bool { return h[i].due.Before(h[j].due) }

// Swap implements heap.Interface.
func (h objects) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

// Push implements heap.Interface.
func (h *objects) Push(x any) {
	o, _ := x.(*expected)
	o.at = len(*h)
	*h = append(*h, o)
}

// Pop implements heap.Interface.
func (h *objects) Pop() any {
	last := len(*h) - 1
	o := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	o.at = -1
	return o
}
