package processor

import "context"

type trustKey struct{}

// WithTrust returns a context that carries the check of the lease under which
// work is done.
func WithTrust(ctx context.Context, trusted func() error) context.Context {
	return context.WithValue(ctx, trustKey{}, trusted)
}

// Trusted says whether the lease under which ctx works can still be trusted. A
// handler asks right before a write: the context itself ends a moment later, and
// a process that was stopped for a while may wake up in between.
func Trusted(ctx context.Context) error {
	if trusted, ok := ctx.Value(trustKey{}).(func() error); ok {
		return trusted()
	}
	return nil
}
