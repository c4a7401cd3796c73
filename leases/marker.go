package leases

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

// Two documents tell .NET's hosts on the same leases what has been done:
// {prefix}.info says that every range has had a lease, {prefix}.lock that
// somebody is making them. Nothing of ours is decided by the first, and the
// second only puts something off.
//
// .NET also works on containers with the partition key /partitionKey, and then
// stores that field in every document. We demand /id, where it writes none.

const (
	// lockTTL, in seconds, is .NET's. It is of no effect in a container without
	// a time to live, where the lock of a host that died lies for ever.
	lockTTL = 30
	// lockPatience is how long somebody else's turn may last. A death while the
	// leases are made for the first time must delay them by under two expiries.
	lockPatience = 15 * time.Second
	// lockMemory: a refusal older than that was about something else.
	lockMemory = 10 * time.Minute
)

// unlockTimeout bounds the end of a lock whose context may have ended.
const unlockTimeout = 2 * time.Second

// Mark stores {prefix}.info, unless it is there. Call it once the leases cover all
// ranges, again with every listing until it succeeds: a .NET host that finds it
// creates no leases, and never waits for a lock that was left behind.
//
// ErrConflict means that somebody has the lock: a .NET host that is about to
// store it itself, and would fail if it found it there. That ends as for
// TakeLock; Mark takes the lock for a moment. It reads once where all is done.
//
// It proves nothing. Leases that are missing though it is there are made again,
// which .NET never does.
func (s *Store) Mark(ctx context.Context) error {
	id := s.prefix + ".info"
	_, err := s.readMarker(ctx, id)
	if err == nil {
		return nil
	}
	if !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("mark leases as made: %w", err)
	}
	unlock, taken, err := s.TakeLock(ctx)
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unlockTimeout)
		defer cancel()
		unlock(ctx)
	}()
	if !taken {
		return fmt.Errorf("mark leases as made: %w", cmp.Or(err, ErrConflict))
	}
	_, err = s.createMarker(ctx, id, struct {
		ID string `json:"id"`
	}{id})
	if err != nil && !errors.Is(err, ErrConflict) {
		return fmt.Errorf("mark leases as made: %w", err)
	}
	return nil
}

// TakeLock asks for the turn to make the first leases, so that a .NET host that
// starts at the same moment waits instead of making others beside ours. Call it
// when a listing has shown no lease at all, with a deadline of its own, as
// often as leases are listed; then
//
//	taken: create what is missing, then unlock, whatever came of it, with a
//	context that outlives ctx;
//	not taken, no error: somebody else has the lock. Create nothing now;
//	an error: nothing is known. Create nothing now.
//
// It never waits, and never stands in the way for long: 15 s after the first
// refusal, on this host's clock, it is our turn without the lock, and unlock
// does nothing. Two that create at once do no harm: the id of a lease is that of
// its range, and the second is refused.
//
// A host that dies between the two leaves the lock to its time to live, or for
// ever; unlock removes only the one that TakeLock stored. A lock of this Store
// whose reply was lost is found again.
func (s *Store) TakeLock(ctx context.Context) (unlock func(context.Context), taken bool, err error) {
	etag, err := s.lock(ctx)
	switch {
	case err == nil:
		s.turn.begin()
		return func(ctx context.Context) { s.unlock(ctx, etag) }, true, nil
	case s.turn.waited(time.Now()) >= lockPatience:
		return func(context.Context) {}, true, nil
	case errors.Is(err, ErrConflict):
		return func(context.Context) {}, false, nil
	}
	return func(context.Context) {}, false, fmt.Errorf("take lock of leases: %w", err)
}

// errNotTheAccount: only the account says what a request has cost.
var errNotTheAccount = errors.New("the reply is not the account's")

type lockDocument struct {
	ID     string `json:"id"`
	TTL    int    `json:"ttl"`
	Holder string `json:"opfeed.holder"` // .NET neither writes nor reads it
}

// lock gives the ETag of the lock that is ours, ErrConflict when it is not.
func (s *Store) lock(ctx context.Context) (azcore.ETag, error) {
	id, holder := s.prefix+".lock", s.turn.name()
	etag, err := s.createMarker(ctx, id, lockDocument{id, lockTTL, holder})
	if !errors.Is(err, ErrConflict) {
		return etag, err
	}
	reply, readErr := s.readMarker(ctx, id)
	if readErr != nil && !errors.Is(readErr, ErrNotFound) { // it was there just now
		return "", readErr
	}
	var found lockDocument
	if json.Unmarshal(reply.Value, &found) != nil || found.Holder != holder || reply.ETag == "" {
		return "", err
	}
	return reply.ETag, nil
}

// unlock tries once: the leases are made, so that hardly anybody waits for it.
func (s *Store) unlock(ctx context.Context, etag azcore.ETag) {
	id := s.prefix + ".lock"
	reply, err := s.container.DeleteItem(once(ctx), azcosmos.NewPartitionKeyString(id), id,
		&azcosmos.ItemOptions{IfMatchEtag: &etag})
	if err == nil {
		s.sessions.saw(reply.SessionToken)
	}
}

func (s *Store) readMarker(ctx context.Context, id string) (azcosmos.ItemResponse, error) {
	reply, err := s.container.ReadItem(once(ctx), azcosmos.NewPartitionKeyString(id), id,
		&azcosmos.ItemOptions{SessionToken: s.sessions.all()})
	switch {
	case err != nil:
		return azcosmos.ItemResponse{}, s.explain(err)
	case reply.RequestCharge <= 0: // see written
		return azcosmos.ItemResponse{}, errNotTheAccount
	}
	return reply, nil
}

func (s *Store) createMarker(ctx context.Context, id string, document any) (azcore.ETag, error) {
	body, err := marshal(document)
	if err != nil {
		return "", err
	}
	reply, err := s.container.CreateItem(once(ctx), azcosmos.NewPartitionKeyString(id), body, nil)
	if err != nil {
		return "", s.explain(err)
	}
	if reply.RequestCharge <= 0 || reply.ETag == "" { // see written
		return "", errNotTheAccount
	}
	s.sessions.saw(reply.SessionToken)
	return reply.ETag, nil
}

// turn is what a Store knows about the lock. The zero value is ready.
type turn struct {
	mu          sync.Mutex
	holder      string    // of what this Store locks
	since, last time.Time // of the refusals in a row
}

func (t *turn) name() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.holder == "" {
		t.holder = rand.Text()
	}
	return t.holder
}

func (t *turn) begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.since = time.Time{}
}

// waited notes a refusal and says how long ago the first in a row was.
func (t *turn) waited(now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.since.IsZero() || now.Sub(t.last) > lockMemory {
		t.since = now
	}
	t.last = now
	return now.Sub(t.since)
}
