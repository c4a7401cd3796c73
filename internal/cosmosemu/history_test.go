package cosmosemu_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/internal/cosmosemu"
	"opfeed/internal/fault"
)

const lag = 10 * time.Second

// lagging is an account whose reads, of any kind, are answered by replicas that
// lag.
func lagging(t *testing.T, seed uint64) *rig {
	t.Helper()
	r := newRig(t)
	r.fault(cosmosemu.Fault{Name: "lag", When: fault.When{Seed: seed}, Effect: cosmosemu.Effect{Stale: fault.Duration(lag)}})
	return r
}

// seen is what a read and a query show of an item, its n, or "none". A token
// makes it a read in a session.
func (r *rig) seen(id, token string) [2]string {
	r.Helper()
	var session *string
	if token != "" {
		session = &token
	}
	n := func(item map[string]any) string { return strconv.Itoa(int(item["n"].(float64))) }
	have := [2]string{"none", "none"}
	item, err := r.items.ReadItem(r.Context(), pk("p"), id, &azcosmos.ItemOptions{SessionToken: session})
	if err == nil {
		have[0] = n(r.object(item.Value))
	} else {
		r.refused(err, http.StatusNotFound, "0")
	}
	rows, _, err := r.query("SELECT * FROM c WHERE c.id = '"+id+"'", pk("p"), &azcosmos.QueryOptions{SessionToken: session})
	if err != nil {
		r.Fatal(err)
	}
	for _, row := range rows {
		have[1] = n(r.object([]byte(row)))
	}
	return have
}

func (r *rig) put(id string, n int) string {
	r.Helper()
	response, err := r.items.UpsertItem(r.Context(), pk("p"), fmt.Appendf(nil, `{"id":%q,"pk":"p","n":%d}`, id, n), nil)
	if err != nil {
		r.Fatal(err)
	}
	return *response.SessionToken
}

// What was just written does not show yet: the version before does, or none, or
// what was deleted. It does in a session, and to everybody in the end.
func TestStaleReads(t *testing.T) {
	for name, c := range map[string]struct {
		before func(r *rig)
		write  func(r *rig) (session string)
		old    string
		now    string
	}{
		"an older version": {func(r *rig) { r.put("a", 1) }, func(r *rig) string { return r.put("a", 2) }, "1", "2"},
		"not there yet":    {func(*rig) {}, func(r *rig) string { return r.put("a", 1) }, "none", "1"},
		"still there": {func(r *rig) { r.put("a", 1) }, func(r *rig) string {
			response, err := r.items.DeleteItem(r.Context(), pk("p"), "a", nil)
			if err != nil {
				r.Fatal(err)
			}
			return *response.SessionToken
		}, "1", "none"},
		"several versions": {func(r *rig) { r.put("a", 1) }, func(r *rig) string { r.put("a", 2); return r.put("a", 3) }, "1", "3"},
		"another of that name": {func(r *rig) { r.put("a", 1) }, func(r *rig) string {
			if _, err := r.items.DeleteItem(r.Context(), pk("p"), "a", nil); err != nil {
				r.Fatal(err)
			}
			return r.put("a", 2)
		}, "1", "2"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := lagging(t, 1)
				c.before(r)
				time.Sleep(lag)
				session := c.write(r)
				for _, step := range []struct {
					session, want string
					wait          time.Duration
				}{{"", c.old, 0}, {session, c.now, 0}, {"", c.old, 0}, {"", c.now, lag}} {
					time.Sleep(step.wait)
					if have := r.seen("a", step.session); have != [2]string{step.want, step.want} {
						t.Errorf("session %q: read and query show %v, want %s", step.session, have, step.want)
					}
				}
			})
		})
	}
}

// A replica never goes back, never lags by more than it may, never shows half of
// a commit, and says how far it is: its answer is that of the LSN in its token.
func TestStaleReadsArePrefixes(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := lagging(t, seed)
				const perSecond, commits = 4, 200
				furthest, behind := 0, 0
				for n := 1; n <= commits; n++ { // a batch each: the LSN is n
					r.batch(func(b *azcosmos.TransactionalBatch) {
						for _, id := range []string{"a", "b"} {
							b.UpsertItem(fmt.Appendf(nil, `{"id":"%s","pk":"p","n":%d}`, id, n), nil)
						}
					}, nil)
					rows, _, err := r.query("SELECT * FROM c", pk("p"), nil)
					if err != nil {
						t.Fatal(err)
					}
					token := r.transport.last.Header.Get("x-ms-session-token")
					lsn, err := strconv.Atoi(strings.TrimPrefix(token, "0:-1#"))
					if err != nil || lsn < furthest || lsn > n || lsn < n-int(lag/time.Second)*perSecond {
						t.Fatalf("after %d commits the replica is at %q, was at %d", n, token, furthest)
					}
					furthest = lsn
					if lsn < n {
						behind++
					}
					for _, row := range rows {
						if have := r.object([]byte(row))["n"]; have != float64(lsn) {
							t.Fatalf("at %d there is %v", lsn, have)
						}
					}
					if want := min(lsn, 1) * 2; len(rows) != want {
						t.Fatalf("at %d there are %d items", lsn, len(rows))
					}
					time.Sleep(time.Second / perSecond)
				}
				if behind < commits/2 || furthest < commits/2 {
					t.Errorf("the replica was behind %d times of %d, and came to %d", behind, commits, furthest)
				}
			})
		})
	}
}

// How a replica lags follows from the seed.
func TestStaleReadsFollowFromTheSeed(t *testing.T) {
	path := func(name string, seed uint64) (path string) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := lagging(t, seed)
				for n := range 50 {
					r.put("a", n)
					path += " " + r.seen("a", "")[0]
					time.Sleep(time.Second)
				}
			})
		})
		return path
	}
	if one, again, two := path("one", 1), path("again", 1), path("two", 2); one != again || one == two {
		t.Errorf("seed 1: %s\nseed 1: %s\nseed 2: %s", one, again, two)
	}
}

// The order of a stale query is that of creation, pages included, deleted items
// in their old place.
func TestStaleList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := lagging(t, 1)
		for i, id := range []string{"a", "b", "c", "d"} {
			r.put(id, i)
		}
		time.Sleep(lag)
		for _, id := range []string{"b", "d"} {
			if _, err := r.items.DeleteItem(t.Context(), pk("p"), id, nil); err != nil {
				t.Fatal(err)
			}
		}
		r.put("a", 7)
		r.put("e", 8)
		rows, _, err := r.query("SELECT VALUE c.id FROM c", everywhere, &azcosmos.QueryOptions{PageSizeHint: 3})
		if have := strings.Join(rows, ""); err != nil || have != `"a""b""c""d"` {
			t.Errorf("have %s, %v", have, err)
		}
		// One partition key shows its own only.
		r.create("q", `{"id":"z","pk":"q"}`)
		time.Sleep(lag)
		if _, err := r.items.DeleteItem(t.Context(), pk("q"), "z", nil); err != nil {
			t.Fatal(err)
		}
		for key, want := range map[string]string{"q": `"z"`, "p": `"a""c""e"`} {
			rows, _, err = r.query("SELECT VALUE c.id FROM c", pk(key), nil)
			if have := strings.Join(rows, ""); err != nil || have != want {
				t.Errorf("of %s: have %s, %v, want %s", key, have, err, want)
			}
		}
	})
}

// Without the rule, and after a split, everything is up to date.
func TestStaleReadsEnd(t *testing.T) {
	for name, end := range map[string]func(*rig){
		"rule removed": func(r *rig) { r.server.Faults().Clear() },
		"split": func(r *rig) {
			if _, err := r.server.Split("db", "items", "0", cosmosemu.SplitOptions{}); err != nil {
				r.Fatal(err)
			}
		},
		"expired": func(r *rig) {
			if err := r.server.AdvanceClock(time.Minute); err != nil {
				r.Fatal(err)
			}
			r.put("a", 2)
			time.Sleep(lag)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := lagging(t, 1)
				r.put("a", 1)
				time.Sleep(lag)
				r.put("a", 2)
				if have := r.seen("a", ""); have != [2]string{"1", "1"} {
					t.Fatalf("have %v before", have)
				}
				end(r)
				if have := r.seen("a", ""); have != [2]string{"2", "2"} {
					t.Errorf("have %v", have)
				}
			})
		})
	}
}

// An old version expires like any other.
func TestStaleReadsOfExpiredItems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := lagging(t, 1)
		r.create("p", `{"id":"a","pk":"p","n":1,"ttl":20}`)
		time.Sleep(lag)
		r.put("a", 2)
		for _, step := range []struct{ jump, want string }{{"0s", "1"}, {"10s", "none"}} {
			jump, err := time.ParseDuration(step.jump)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.server.AdvanceClock(jump); err != nil {
				t.Fatal(err)
			}
			if have := r.seen("a", ""); have != [2]string{step.want, step.want} {
				t.Errorf("after %s: have %v, want %s", step.jump, have, step.want)
			}
		}
	})
}
