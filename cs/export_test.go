package cs

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
