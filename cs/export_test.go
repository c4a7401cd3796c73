package cs

// For tests: no caller tells them from other causes.
var (
	ErrClosed = errClosed
	ErrOpen   = errOpen
)
