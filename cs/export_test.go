package cs

// ErrClosed is for tests: no caller tells it from other causes.
var ErrClosed = errClosed
