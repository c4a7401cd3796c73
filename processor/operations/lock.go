package operations

import (
	"context"
	crand "crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"go.uber.org/zap"

	"opfeed/internal/logkey"
)

// LockConfig holds the times of the subscriptions' locks.
type LockConfig struct {
	TTL    time.Duration `env:"TTL" help:"life time of a subscription's lock document, whole seconds; the same as the front ends'"`
	Margin time.Duration `env:"MARGIN" help:"how long before its end a lock is not trusted any more"`
	Wait   time.Duration `env:"WAIT" help:"how long one step waits for a busy lock"`
	Retry  time.Duration `env:"RETRY" help:"mean time between two tries for a busy lock"`
}

// DefaultLockConfig returns the defaults.
func DefaultLockConfig() LockConfig {
	return LockConfig{TTL: 10 * time.Second, Margin: 2 * time.Second, Wait: 3 * time.Second, Retry: 200 * time.Millisecond}
}

// Validate reports every problem at once, one line each, by variable; $NAME in it is
// another variable.
func (c LockConfig) Validate() error {
	var problems []error
	check := func(ok bool, problem string) {
		if !ok {
			problems = append(problems, errors.New(problem))
		}
	}
	check(c.TTL >= time.Second && c.TTL%time.Second == 0, "TTL: must be whole seconds, at least one")
	check(c.Margin > 0 && c.Margin < c.TTL, "MARGIN: must be positive, and less than $TTL")
	check(c.Wait > 0, "WAIT: must be positive")
	check(c.Retry > 0, "RETRY: must be positive")
	return errors.Join(problems...)
}

// errLockBusy: another holds the lock, for longer than a step waits.
var errLockBusy = errors.New("lock is busy")

// errLockExpired: the lock was held for so long that another may hold it now.
var errLockExpired = errors.New("lock is not trusted any more")

// lockDocument is the lock as the front ends write it. Its id is the
// subscription; that it exists is the lock; its ttl frees it when the owner dies.
type lockDocument struct {
	ID    string `json:"id"`
	Owner string `json:"owner"`
	TTL   int    `json:"ttl"`
}

// maxID is how many bytes an id may have in Cosmos DB.
const maxID = 1023

// maxRelease bounds the release: it may run when the process is to stop, and
// nobody waits for it but the next who wants the lock, for its ttl at most.
const maxRelease = time.Second

// lock is a lock that is held.
type lock struct {
	partition string
	etag      azcore.ETag
	until     time.Time // trusted till then
}

// locked runs f while the lock of the subscription is held, and gives f what to
// ask before it starts a write. Without a container of locks f just runs: the
// condition on every write is what protects; the lock spares front ends that
// take it a conflict. A partition key that is too long for an id has no lock that
// anybody could take.
func (h *Handler) locked(ctx context.Context, log *zap.Logger, partition string, f func(trusted func() error) error) error {
	if h.deps.Locks == nil || len(partition) > maxID {
		return f(unlocked)
	}
	l, err := h.acquire(ctx, partition)
	if err != nil {
		return err
	}
	held := time.Now()
	defer func() {
		h.release(ctx, log, l)
		h.metrics.lockHold.Observe(time.Since(held).Seconds())
	}()
	return f(l.trusted)
}

// unlocked is what to ask before a write that no lock is taken for.
func unlocked() error { return nil }

func (h *Handler) acquire(ctx context.Context, partition string) (lock, error) {
	began := time.Now()
	for giveUp := began.Add(h.cfg.Lock.Wait); ; {
		// The service counts from when it wrote; that is later than this.
		until := time.Now().Add(h.cfg.Lock.TTL - h.cfg.Lock.Margin)
		etag, err := h.createLock(ctx, partition)
		if err == nil {
			h.metrics.lockWait.Observe(time.Since(began).Seconds())
			return lock{partition: partition, etag: etag, until: until}, nil
		}
		if code, _ := status(err); code != http.StatusConflict {
			return lock{}, fmt.Errorf("create lock: %w", err)
		}
		pause := h.cfg.Lock.Retry/2 + rand.N(h.cfg.Lock.Retry)
		if time.Now().Add(pause).After(giveUp) {
			h.metrics.lockWait.Observe(time.Since(began).Seconds())
			return lock{}, errLockBusy
		}
		if err := sleep(ctx, pause); err != nil {
			return lock{}, fmt.Errorf("wait for lock: %w", err)
		}
	}
}

// createLock tries once. Its owner is no other's and no other try's, so that a
// lock which is in the way can be told to be this try's own: the client library
// sends a request again whose reply was lost.
func (h *Handler) createLock(ctx context.Context, partition string) (azcore.ETag, error) {
	ctx, cancel := context.WithTimeout(ctx, h.cfg.Timeout)
	defer cancel()
	owner := h.deps.Instance + "/" + crand.Text()
	body, err := json.Marshal(lockDocument{ID: partition, Owner: owner, TTL: int(h.cfg.Lock.TTL / time.Second)})
	if err != nil {
		return "", err
	}
	resp, err := h.deps.Locks.CreateItem(ctx, azcosmos.NewPartitionKeyString(partition), body, nil)
	if code, _ := status(err); code == http.StatusConflict {
		if etag, ours := h.ownLock(ctx, partition, owner); ours {
			return etag, nil
		}
	}
	if err == nil && resp.RequestCharge <= 0 {
		return "", errForeign // only the account says what a request has cost
	}
	return resp.ETag, err
}

// ownLock returns the version of the lock if it has this owner. What cannot be
// read counts as another's.
func (h *Handler) ownLock(ctx context.Context, partition, owner string) (azcore.ETag, bool) {
	resp, err := h.deps.Locks.ReadItem(ctx, azcosmos.NewPartitionKeyString(partition), partition, nil)
	if err != nil {
		return "", false
	}
	var held lockDocument
	err = json.Unmarshal(resp.Value, &held)
	return resp.ETag, err == nil && held.Owner == owner
}

func (l lock) trusted() error {
	if !time.Now().Before(l.until) {
		return errLockExpired
	}
	return nil
}

// release gives the lock back unless it is another's by now. It is not the
// caller's concern whether that works: the ttl does it, later.
func (h *Handler) release(ctx context.Context, log *zap.Logger, l lock) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), min(maxRelease, time.Until(l.until)))
	defer cancel()
	_, err := h.deps.Locks.DeleteItem(ctx, azcosmos.NewPartitionKeyString(l.partition), l.partition,
		&azcosmos.ItemOptions{IfMatchEtag: &l.etag})
	switch code, _ := status(err); {
	case err == nil:
	case code == http.StatusNotFound, code == http.StatusPreconditionFailed:
		log.Info("lock had expired before it was released")
	default:
		log.Warn("lock not released, it expires by itself", logkey.Error(err))
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
