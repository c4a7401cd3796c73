package system_test

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/internal/cosmosemu"
)

// leaseWatch reads the leases as any onlooker can, so that it depends on no
// replica, and counts what changed hands.
type leaseWatch struct {
	container *azcosmos.ContainerClient

	mu      sync.Mutex
	seen    []seenLease
	last    map[string]string // the last owner of each lease
	changes int
}

type seenLease struct {
	LeaseToken string
	Owner      string
	FeedRange  struct {
		Range struct{ Min, Max string }
	}
}

func watchLeases(t *testing.T, url string) *leaseWatch {
	t.Helper()
	key, err := azcosmos.NewKeyCredential(cosmosemu.WellKnownKey)
	if err != nil {
		t.Fatal(err)
	}
	client, err := azcosmos.NewClientWithKey(url, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	w := &leaseWatch{last: map[string]string{}}
	if w.container, err = client.NewContainer(database, "Leases"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			if list, err := w.list(ctx); err == nil {
				w.note(list)
			}
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		client.Close()
	})
	return w
}

func (w *leaseWatch) list(ctx context.Context) ([]seenLease, error) {
	var list []seenLease
	for pages := w.container.NewQueryItemsPager("SELECT * FROM c", azcosmos.NewPartitionKey(), nil); pages.More(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, item := range page.Items {
			var l seenLease
			if json.Unmarshal(item, &l) == nil && l.LeaseToken != "" {
				list = append(list, l)
			}
		}
	}
	return list, nil
}

func (w *leaseWatch) note(list []seenLease) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = list
	for _, l := range list {
		if l.Owner == "" {
			continue
		}
		if before := w.last[l.LeaseToken]; before != "" && before != l.Owner {
			w.changes++
		}
		w.last[l.LeaseToken] = l.Owner
	}
}

// changed is how often a lease has been seen with another owner than before.
func (w *leaseWatch) changed() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changes
}

// all are the leases as they were last seen.
func (w *leaseWatch) all() []seenLease {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.seen)
}

// held counts the leases that have an owner.
func (w *leaseWatch) held() (n int) {
	for _, l := range w.all() {
		if l.Owner != "" {
			n++
		}
	}
	return n
}

// of are the tokens of what one owns.
func (w *leaseWatch) of(owner string) (tokens []string) {
	for _, l := range w.all() {
		if l.Owner == owner {
			tokens = append(tokens, l.LeaseToken)
		}
	}
	return tokens
}
