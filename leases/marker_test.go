package leases

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/internal/cosmosemu"
	"opfeed/internal/inproc"
)

const (
	infoID = testPrefix + ".info"
	lockID = testPrefix + ".lock"
)

// document gives what is stored under any id; "" when there is nothing.
func (w *world) document(id string) (string, azcore.ETag) {
	w.t.Helper()
	reply, err := w.raw.ReadItem(w.t.Context(), azcosmos.NewPartitionKeyString(id), id, nil)
	if answer, ok := errors.AsType[*azcore.ResponseError](err); ok && answer.StatusCode == http.StatusNotFound {
		return "", ""
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return string(reply.Value), reply.ETag
}

// newHost gives a Store of a process of its own, and its network.
func (w *world) newHost() (*Store, *wire) {
	x := &wire{w: w, inner: inproc.New(w.server)}
	return NewStore(w.client(x), testPrefix), x
}

// expiring makes the lease container one with a time to live.
func (w *world) expiring() {
	w.t.Helper()
	server := cosmosemu.New(cosmosemu.Options{})
	never := int32(-1)
	if err := server.Create("db", cosmosemu.Container{ID: "leases", PartitionKey: "/id", DefaultTTL: &never}); err != nil {
		w.t.Fatal(err)
	}
	w.server, w.host = server, fmt.Sprintf("http://expiring-%d.cosmos.test", hosts.Add(1))
	w.raw = w.client(inproc.New(server))
	w.store = NewStore(w.raw, testPrefix)
}

// take calls TakeLock, which never takes time.
func (w *world) take(s *Store) (unlock func(context.Context), taken bool) {
	w.t.Helper()
	began := time.Now()
	unlock, taken, err := s.TakeLock(w.t.Context())
	if err != nil || unlock == nil || time.Since(began) != 0 {
		w.t.Fatalf("take lock: %v, after %s", err, time.Since(began))
	}
	return unlock, taken
}

func TestMark(t *testing.T) {
	inWorld(t, func(w *world) {
		ctx := w.t.Context()
		for range 2 {
			if err := w.store.Mark(ctx); err != nil {
				t.Error(err)
			}
		}
		if body, _ := w.document(infoID); !strings.HasPrefix(body, `{"id":"`+infoID+`","_`) {
			t.Errorf("stored %s", body)
		}
		if body, _ := w.document(lockID); body != "" {
			t.Errorf("left %s", body)
		}
		host, x := w.newHost()
		for _, f := range []fault{refuse, throttle, down} {
			x.set(always(f))
			if err := host.Mark(ctx); err == nil {
				t.Errorf("fault %d: no error", f)
			}
		}
		x.set(nil)
		before := x.count()
		if err := host.Mark(ctx); err != nil || x.count() != before {
			t.Errorf("%d writes where it was marked, %v", x.count()-before, err)
		}
		for _, status := range []int{http.StatusOK, http.StatusCreated} {
			proxy := NewStore(w.client(answering{status: status, through: inproc.New(w.server)}), testPrefix)
			if err := proxy.Mark(ctx); err == nil {
				t.Error("the answer of somebody else counted")
			}
			if _, taken, err := proxy.TakeLock(ctx); err == nil || taken {
				t.Error("the answer of somebody else counted")
			}
		}
	})
}

// Somebody marks them at the same moment.
func TestMarkedMeanwhile(t *testing.T) {
	inWorld(t, func(w *world) {
		host, x := w.newHost()
		x.set(func(_ *http.Request, nthWrite int) fault {
			if nthWrite == 2 { // after the lock
				x.fault = nil // held by the caller
				w.createRaw(`{"id":"` + infoID + `"}`)
			}
			return pass
		})
		if err := host.Mark(w.t.Context()); err != nil {
			t.Error(err)
		}
		if body, _ := w.document(lockID); body != "" {
			t.Errorf("left %s", body)
		}
	})
}

// Each request of it that is lost, or its reply, is made up for by the next call.
func TestMarkAgain(t *testing.T) {
	for nth := range 4 {
		for _, f := range []fault{refuse, swallow} {
			inWorld(t, func(w *world) {
				host, x := w.newHost()
				sent := 0
				x.set(func(r *http.Request, _ int) fault {
					if strings.HasPrefix(r.URL.Path, "/dbs/") && r.Method != http.MethodGet || strings.HasSuffix(r.URL.Path, ".info") {
						if sent++; sent == nth+1 {
							return f
						}
					}
					return pass
				})
				err := host.Mark(w.t.Context())
				if unread := nth == 0 || nth == 3; unread != (err == nil) { // azcosmos reads again, and nobody needs to unlock
					t.Errorf("request %d, fault %d: %v", nth, f, err)
				}
				if err := host.Mark(w.t.Context()); err != nil {
					t.Errorf("request %d, fault %d, again: %v", nth, f, err)
				}
				if body, _ := w.document(infoID); body == "" {
					t.Errorf("request %d, fault %d: not marked", nth, f)
				}
			})
		}
	}
}

// While a .NET host makes the leases, the mark is its business.
func TestMarkWaits(t *testing.T) {
	inWorld(t, func(w *world) {
		w.createRaw(`{"id":"` + lockID + `","ttl":30}`)
		host, _ := w.newHost()
		began := time.Now()
		for ; ; time.Sleep(2 * time.Second) {
			err := host.Mark(w.t.Context())
			if err == nil {
				break
			}
			if body, _ := w.document(infoID); !errors.Is(err, ErrConflict) || body != "" {
				t.Fatalf("after %s: %v, %s", time.Since(began), err, body)
			}
		}
		if d := time.Since(began); d < lockPatience || d > lockPatience+2*time.Second {
			t.Errorf("marked after %s", d)
		}
	})
}

func TestLock(t *testing.T) {
	inWorld(t, func(w *world) {
		a, _ := w.newHost()
		b, _ := w.newHost()
		unlock, taken := w.take(a)
		body, _ := w.document(lockID)
		if !taken || !strings.HasPrefix(body, `{"id":"`+lockID+`","ttl":30,"opfeed.holder":"`) {
			t.Fatalf("taken %v, stored %s", taken, body)
		}
		notMine, taken := w.take(b)
		if taken {
			t.Error("taken twice")
		}
		notMine(w.t.Context())
		if body, _ := w.document(lockID); body == "" {
			t.Error("a host unlocked what it had not locked")
		}
		unlock(w.t.Context())
		if body, _ := w.document(lockID); body != "" {
			t.Errorf("left %s", body)
		}
		unlock(w.t.Context()) // once more
		if unlock, taken = w.take(b); !taken {
			t.Error("not taken when it was free")
		}
		unlock(w.t.Context())
		// A refusal before the last own turn is not held against the next holder.
		w.take(a)
		time.Sleep(lockPatience)
		if _, taken = w.take(b); taken {
			t.Error("no patience")
		}
	})
}

// Whoever dies with the lock, a .NET host or one of ours, delays the others for
// a bounded time, though nothing ever removes it.
func TestLockOfTheDead(t *testing.T) {
	inWorld(t, func(w *world) {
		w.createRaw(`{"id":"` + lockID + `","ttl":30}`)
		for range 2 { // the second host comes much later
			host, _ := w.newHost()
			began := time.Now()
			for ; ; time.Sleep(2 * time.Second) {
				unlock, taken := w.take(host)
				if !taken {
					if time.Since(began) >= lockPatience {
						t.Fatalf("still not taken after %s", time.Since(began))
					}
					continue
				}
				if time.Since(began) < lockPatience {
					t.Errorf("taken after %s already", time.Since(began))
				}
				unlock(w.t.Context())
				break
			}
			if body, _ := w.document(lockID); body == "" {
				t.Error("somebody else's lock was removed")
			}
			time.Sleep(time.Hour)
			// A refusal of long ago is not held against who has it now.
			if _, taken := w.take(host); taken {
				t.Error("no patience with another turn")
			}
		}
	})
}

// In a container with a time to live the lock goes by itself, and unlock does not
// remove the next one.
func TestLockExpires(t *testing.T) {
	inWorld(t, func(w *world) {
		w.expiring()
		a, _ := w.newHost()
		b, _ := w.newHost()
		unlock, _ := w.take(a)
		time.Sleep(31 * time.Second)
		other, taken := w.take(b)
		if !taken {
			t.Fatal("not taken after its time to live")
		}
		unlock(w.t.Context())
		if body, _ := w.document(lockID); body == "" {
			t.Error("the lock of another was removed")
		}
		other(w.t.Context())
		if body, _ := w.document(lockID); body != "" {
			t.Errorf("left %s", body)
		}
	})
}

// Losing a reply, or being down for a while, costs no turn.
func TestLockRepliesLost(t *testing.T) {
	inWorld(t, func(w *world) {
		ctx := w.t.Context()
		a, x := w.newHost()
		b, _ := w.newHost()
		for _, f := range []fault{swallow, refuse, throttle, down} {
			x.set(always(f))
			if _, taken, err := a.TakeLock(ctx); err == nil || taken {
				t.Errorf("fault %d: taken %v, %v", f, taken, err)
			}
			x.set(nil)
			unlock, taken := w.take(a)
			if !taken {
				t.Fatalf("fault %d: not found again", f)
			}
			unlock(ctx)
			if body, _ := w.document(lockID); body != "" {
				t.Fatalf("fault %d: left %s", f, body)
			}
		}
		// Unlocking never arrives: who locked can again, others in a while.
		unlock, _ := w.take(a)
		x.set(always(refuse))
		unlock(ctx)
		x.set(nil)
		if _, taken := w.take(b); taken {
			t.Error("taken twice")
		}
		if unlock, taken := w.take(a); !taken {
			t.Error("own lock not found again")
		} else {
			unlock(ctx)
		}
		if _, taken := w.take(b); !taken {
			t.Error("not taken when it was free")
		}
		// The lock is gone before it is looked at.
		w.take(b)
		x.set(func(r *http.Request, _ int) fault {
			if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, ".lock") {
				_, etag := w.document(lockID)
				if _, err := w.raw.DeleteItem(ctx, azcosmos.NewPartitionKeyString(lockID), lockID, &azcosmos.ItemOptions{IfMatchEtag: &etag}); err != nil {
					t.Error(err)
				}
			}
			return pass
		})
		if _, taken := w.take(a); taken {
			t.Error("taken on a refusal")
		}
		x.set(nil)
		if _, taken := w.take(a); !taken {
			t.Error("not taken when it was free")
		}
	})
}

// What cannot be locked at all, or hangs, does not keep leases from being made.
func TestLockThatFails(t *testing.T) {
	for _, f := range []fault{refuse, throttle, down, hang} {
		inWorld(t, func(w *world) {
			host, x := w.newHost()
			if unlock, taken := w.take(host); taken { // the client knows its account
				unlock(w.t.Context())
			}
			x.set(always(f))
			began := time.Now()
			for ; ; time.Sleep(time.Second) {
				ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Second)
				_, taken, err := host.TakeLock(ctx)
				cancel()
				if taken != (err == nil) {
					t.Fatalf("fault %d: taken %v, %v", f, taken, err)
				}
				if taken {
					break
				}
			}
			if d := time.Since(began); d < lockPatience || d > lockPatience+5*time.Second {
				t.Errorf("fault %d: on without it after %s", f, d)
			}
		})
	}
}

// dotnetStart is what a .NET host does at its start (BootstrapperCore), slowly.
// It says whether it created the leases.
func (w *world) dotnetStart(slow time.Duration) bool {
	for ; ; time.Sleep(15 * time.Second) {
		if body, _ := w.document(infoID); body != "" {
			return false
		}
		reply, err := w.raw.CreateItem(w.t.Context(), azcosmos.NewPartitionKeyString(lockID), []byte(`{"id":"`+lockID+`","ttl":30}`), nil)
		if err != nil {
			continue
		}
		list, err := w.store.List(w.t.Context())
		if err != nil {
			w.t.Error(err)
		}
		time.Sleep(slow)
		for _, r := range w.ranges {
			if len(list) == 0 {
				w.createRaw(fmt.Sprintf(`{"id":%q,"version":0,"_etag":null,"LeaseToken":%q,"FeedRange":{"Range":{"min":%q,"max":%q}},`+
					`"Owner":null,"ContinuationToken":null,"properties":{},"timestamp":null,"_ts":0}`,
					w.store.ID(r.Token), r.Token, r.Range.MinInclusive, r.Range.MaxExclusive)) // fails on 409
			}
		}
		time.Sleep(slow)
		w.createRaw(`{"id":"` + infoID + `"}`) // fails on 409, too
		if _, err := w.raw.DeleteItem(w.t.Context(), azcosmos.NewPartitionKeyString(lockID), lockID, &azcosmos.ItemOptions{IfMatchEtag: &reply.ETag}); err != nil {
			w.t.Error(err)
		}
		return len(list) == 0
	}
}

// ourStart is what TakeLock and Mark ask of their callers.
func (w *world) ourStart(host *Store, slow time.Duration) (created int) {
	ctx := w.t.Context()
	for ; ; time.Sleep(2 * time.Second) {
		list, err := host.List(ctx)
		if err != nil {
			w.t.Error(err)
		}
		switch {
		case len(list) == len(w.ranges):
			if err := host.Mark(ctx); err == nil {
				return created
			} else if !errors.Is(err, ErrConflict) {
				w.t.Error(err)
			}
		case len(list) == 0:
			if unlock, taken := w.take(host); taken {
				created += w.ourCreation(host, slow)
				unlock(ctx)
			}
		}
	}
}

func (w *world) ourCreation(host *Store, slow time.Duration) (created int) {
	time.Sleep(slow)
	for _, r := range w.ranges {
		_, err := host.Create(w.t.Context(), Document{ID: host.ID(r.Token), Token: r.Token, Range: r.Range})
		switch {
		case err == nil:
			created++
		case !errors.Is(err, ErrConflict):
			w.t.Error(err)
		}
	}
	return created
}

// A .NET host that starts at the same moment: one of the two makes the leases,
// the other waits, and .NET sees no conflict that it cannot bear.
func TestStartBesideDotNet(t *testing.T) {
	const step = 500 * time.Millisecond
	for _, slow := range []time.Duration{0, 3 * time.Second} {
		for offset := -5 * time.Second; offset <= 5*time.Second; offset += step {
			inWorld(t, func(w *world) {
				w.expiring()
				type result struct{ theirs, ours int }
				theirs, ours := make(chan int), make(chan int)
				go func() {
					time.Sleep(max(0, offset) + time.Millisecond)
					n := 0
					if w.dotnetStart(slow) {
						n = len(w.ranges)
					}
					theirs <- n
				}()
				go func() {
					time.Sleep(max(0, -offset))
					host, _ := w.newHost()
					ours <- w.ourStart(host, slow)
				}()
				if got := (result{<-theirs, <-ours}); got.theirs+got.ours != len(w.ranges) || got.theirs*got.ours != 0 {
					t.Errorf("slow %s, offset %s: created %+v", slow, offset, got)
				}
				if info, _ := w.document(infoID); info == "" {
					t.Errorf("slow %s, offset %s: not marked", slow, offset)
				}
				if lock, _ := w.document(lockID); lock != "" {
					t.Errorf("slow %s, offset %s: left %s", slow, offset, lock)
				}
			})
		}
	}
}

// One of ours dies with the lock in a container without a time to live: the next
// makes the leases, and .NET, which would wait for ever, finds the mark.
func TestStartAfterDeathWithLock(t *testing.T) {
	inWorld(t, func(w *world) {
		dead, _ := w.newHost()
		w.take(dead)
		began := time.Now()
		theirs := make(chan bool)
		go func() { theirs <- w.dotnetStart(0) }()
		host, _ := w.newHost()
		if n := w.ourStart(host, 0); n != len(w.ranges) || time.Since(began) > lockPatience+4*time.Second { // two listings
			t.Errorf("%d leases after %s", n, time.Since(began))
		}
		if <-theirs || time.Since(began) > 31*time.Second {
			t.Errorf(".NET started after %s", time.Since(began))
		}
	})
}
