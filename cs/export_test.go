package cs

import "context"

// For tests: no caller tells them from other causes.
var (
	ErrClosed = errClosed
	ErrOpen   = errOpen
)

// Size returns how much is remembered.
func (s *Sweep) Size() (objects, queues int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.objects), len(s.queues)
}

// States reads the list that tells of refs, which must fit one.
func (c *Client) States(ctx context.Context, refs ...Ref) (map[Ref]string, error) {
	b := newBatch(refs[0])
	for _, ref := range refs {
		b.add(ref)
	}
	found, err := c.look(ctx, b)
	return b.states(found), err
}

// Fit returns how many of refs one list takes.
func Fit(refs []Ref) int {
	b := newBatch(refs[0])
	for n, ref := range refs {
		if !b.fits(ref) {
			return n
		}
		b.add(ref)
	}
	return len(refs)
}
