package collector

// weighed is what has most of something, or less.
type weighed interface {
	weight() int // in bytes
	at() *int    // where its place in the heap is kept
}

// heaviest is a heap (package heap) of what is weighed: the one with most first.
type heaviest[T weighed] []T

func (h heaviest[T]) Len() int           { return len(h) }
func (h heaviest[T]) Less(i, j int) bool { return h[i].weight() > h[j].weight() }

func (h heaviest[T]) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	*h[i].at(), *h[j].at() = i, j
}

// Push implements heap.Interface.
func (h *heaviest[T]) Push(x any) {
	one := x.(T)
	*one.at() = len(*h)
	*h = append(*h, one)
}

// Pop implements heap.Interface.
func (h *heaviest[T]) Pop() any {
	var none T
	last := len(*h) - 1
	one := (*h)[last]
	(*h)[last] = none
	*h = (*h)[:last]
	return one
}
