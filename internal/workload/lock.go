package workload

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

const (
	lockTTL   = 10 // seconds, in the document
	lockRetry = 100 * time.Millisecond
	// lockWait outlasts the time to live: a holder that was killed delays a
	// request, and does not refuse it.
	lockWait = 12 * time.Second
)

// lock takes the subscription's lock as front ends do: the first to create the
// document holds it until it is deleted or its time to live has passed. It
// returns how to give it back.
func (s *store) lock(ctx context.Context, subscription string) (unlock func(context.Context), err error) {
	if s.locks == nil {
		return func(context.Context) {}, nil
	}
	body, err := json.Marshal(map[string]any{"id": subscription, "owner": frontEndAgent, "ttl": lockTTL})
	if err != nil {
		return nil, fmt.Errorf("encode lock: %w", err)
	}
	pk := azcosmos.NewPartitionKeyString(subscription)
	for deadline := time.Now().Add(lockWait); ; {
		r, err := s.locks.CreateItem(ctx, pk, body, nil)
		if err == nil {
			etag := r.ETag
			return func(ctx context.Context) {
				// Gone or taken over: either way it is not ours any more.
				_, _ = s.locks.DeleteItem(ctx, pk, subscription, &azcosmos.ItemOptions{IfMatchEtag: &etag})
			}, nil
		}
		if status(err) == http.StatusNotFound {
			return func(context.Context) {}, nil // no such container: newer front ends have none
		}
		if status(err) != http.StatusConflict {
			return nil, fmt.Errorf("take lock of %s: %w", subscription, err)
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("take lock of %s: busy for %v", subscription, lockWait)
		}
		if err := sleep(ctx, lockRetry); err != nil {
			return nil, fmt.Errorf("take lock of %s: %w", subscription, err)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
