package leases

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/internal/inproc"
)

// hosts gives the presences of a listing by start id, and how many leases it has.
func (w *world) hosts() ([]Presence, int) {
	w.t.Helper()
	list, hosts, err := w.store.ListAll(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	slices.SortFunc(hosts, func(a, b Presence) int { return cmp.Compare(a.StartID, b.StartID) })
	return hosts, len(list)
}

func (w *world) announce(p Presence) {
	w.t.Helper()
	if err := w.store.Announce(w.t.Context(), p); err != nil {
		w.t.Fatal(err)
	}
}

func TestPresence(t *testing.T) {
	inWorld(t, func(w *world) {
		w.create(Document{ID: w.store.ID("0"), Token: "0"}, Document{ID: w.store.ID("1"), Token: "1"})
		w.createRaw(`{"id":"` + testPrefix + `..junk","startId":"C","renewal":1}`)
		for _, other := range []string{".info", ".lock", ".quarantine.1", ".hosts.D", ".host", "2.host.E"} {
			w.createRaw(`{"id":"` + testPrefix + other + `","startId":"D"}`)
		}
		w.announce(Presence{StartID: "A", Instance: "host-1", Renewal: 1})
		w.announce(Presence{StartID: "B", Instance: "host-1"})
		w.announce(Presence{StartID: "A", Instance: "host-1", Renewal: 2})
		want := []Presence{{"A", "host-1", 2, ""}, {"B", "host-1", 0, ""}}
		if got, leases := w.hosts(); !slices.Equal(got, want) || leases != 3 {
			t.Errorf("%v and %d leases, want %v", got, leases, want)
		}
		if list, err := w.store.List(w.t.Context()); err != nil || len(list) != 3 {
			t.Errorf("List gives %d leases, %v", len(list), err)
		}
		for range 2 { // the second finds nothing
			if err := w.store.Withdraw(w.t.Context(), "A"); err != nil {
				t.Error(err)
			}
		}
		if got, _ := w.hosts(); !slices.Equal(got, want[1:]) {
			t.Errorf("after a withdrawal %v", got)
		}
	})
}

// The record in the form that others may read.
func TestPresenceRecord(t *testing.T) {
	inWorld(t, func(w *world) {
		w.announce(Presence{StartID: "AAAABBBBCCCCDDDDEEEEFFFFGG", Instance: `a<&>"b`, Renewal: 7})
		id := testPrefix + ".host.AAAABBBBCCCCDDDDEEEEFFFFGG"
		reply, err := w.raw.ReadItem(w.t.Context(), azcosmos.NewPartitionKeyString(id), id, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := `{"id":"` + id + `","startId":"AAAABBBBCCCCDDDDEEEEFFFFGG","instance":"a<&>\"b","renewal":7,"ttl":60,`
		if !strings.HasPrefix(string(reply.Value), want) {
			t.Errorf("\n got %s\nwant %s", reply.Value, want)
		}
		for _, odd := range []Presence{
			{}, {StartID: "a/b"}, {StartID: "A", Renewal: -1}, {StartID: strings.Repeat("A", 5000)},
			{StartID: "A", Instance: strings.Repeat("x", 5000)},
		} {
			if w.store.Announce(w.t.Context(), odd) == nil {
				t.Errorf("%.60v was stored", odd)
			}
		}
	})
}

// A record whose host is gone is not listed for ever, though nothing deletes it.
func TestPresenceOfTheDead(t *testing.T) {
	inWorld(t, func(w *world) {
		w.announce(Presence{StartID: "A", Instance: "dead"})
		w.announce(Presence{StartID: "B", Instance: "alive"})
		for n := range 12 {
			if hosts, _ := w.hosts(); len(hosts) != 2 {
				t.Fatalf("after %d s: %v", 5*n, hosts)
			}
			time.Sleep(5 * time.Second)
			w.announce(Presence{StartID: "B", Instance: "alive", Renewal: int64(n) + 1})
		}
		if hosts, _ := w.hosts(); len(hosts) != 1 || hosts[0].StartID != "B" {
			t.Errorf("%v", hosts)
		}
		w.create(Document{ID: w.store.ID("0"), Token: "0"})
		time.Sleep(time.Hour) // nobody wrote anything: who knows
		if hosts, _ := w.hosts(); len(hosts) != 1 {
			t.Errorf("%v", hosts)
		}
		d := w.read("0")
		w.put(d) // somebody works
		if hosts, _ := w.hosts(); len(hosts) != 0 {
			t.Errorf("%v", hosts)
		}
	})
}

// What anybody may put there costs neither leases nor hosts.
func TestHostilePresences(t *testing.T) {
	inWorld(t, func(w *world) {
		w.create(Document{ID: w.store.ID("0"), Token: "0"})
		for n, body := range []string{
			`{"id":"%s"}`,
			`{"id":"%s","startId":7,"instance":"x","renewal":1}`,
			`{"id":"%s","startId":"%[2]s","instance":{},"renewal":1}`,
			`{"id":"%s","startId":"%[2]s","instance":"x","renewal":"1"}`,
			`{"id":"%s","startId":"%[2]s","instance":"x","renewal":1.5}`,
			`{"id":"%s","startId":"%[2]s","instance":"x","renewal":-1}`,
			`{"id":"%s","startId":"%[2]s","instance":"x","renewal":9223372036854775808}`,
			`{"id":"%s","startId":"","instance":"x","renewal":1}`,
			`{"id":"%s","STARTID":"%[2]s","instance":"x","renewal":1}`,
			`{"id":"%s","startId":"A","instance":"twice","renewal":9}`, // A has a record of its own
			`{"id":"%s","startId":"%[2]s","instance":"x","renewal":1,"huge":"` + strings.Repeat("x", 1<<20) + `"}`,
			`{"id":"%s","startId":"%[2]s","instance":"` + strings.Repeat("x", 9000) + `","renewal":1}`,
			`{"id":"%s","startId":"%[2]s","version":0,"LeaseToken":"0","FeedRange":null,"instance":[]}`,
		} {
			start := fmt.Sprintf("HOSTILE%d", n)
			w.createRaw(strings.NewReplacer("%s", testPrefix+".host."+start, "%[2]s", start).Replace(body))
		}
		w.announce(Presence{StartID: "A", Instance: "host-1", Renewal: 2})
		if got, leases := w.hosts(); leases != 1 || !slices.Equal(got, []Presence{{"A", "host-1", 2, ""}}) {
			t.Errorf("%v and %d leases", got, leases)
		}
	})
}

// A crowd of records is cut off, and who is really there is in what remains.
func TestPresenceCrowd(t *testing.T) {
	inWorld(t, func(w *world) {
		for n := range 2500 {
			w.announce(Presence{StartID: fmt.Sprint("CROWD", n)})
		}
		time.Sleep(time.Second)
		w.announce(Presence{StartID: "A", Instance: "host-1"})
		w.create(Document{ID: w.store.ID("0"), Token: "0"})
		hosts, leases := w.hosts()
		if len(hosts) != presenceMost || leases != 1 || hosts[0].StartID != "A" {
			t.Errorf("%d hosts, the first %v, %d leases", len(hosts), hosts[0], leases)
		}
	})
}

func TestRollOnce(t *testing.T) {
	var r roll
	at := func(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }
	for range 3 {
		r.add(SightedHost{Presence{"A", "x", 1, ""}, at(100)})
		r.add(SightedHost{Presence{"A", "x", 3, ""}, at(102)})
		r.add(SightedHost{Presence{"A", "x", 2, ""}, at(102)})
		r.add(SightedHost{Presence{"B", "x", 0, ""}, at(50)})
	}
	r.trim()
	l := Listing{Hosts: r}
	if got, want := l.alive(), []Presence{{"A", "x", 3, ""}, {"B", "x", 0, ""}}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	l.Leases = []Document{{Written: at(110)}}
	if got, want := l.alive(), []Presence{{"A", "x", 3, ""}}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// Each call is one request, no write is repeated, and none but the account's answer counts.
func TestPresenceRequests(t *testing.T) {
	inWorld(t, func(w *world) {
		var requests []string
		x := &wire{w: w, inner: inproc.New(w.server)}
		what := pass
		x.set(func(r *http.Request, _ int) fault {
			if r.URL.Path == "" || r.URL.Path == "/" {
				return pass
			}
			requests = append(requests, r.Method+r.Header.Get("x-ms-session-token"))
			return what
		})
		store := NewStore(w.client(x), testPrefix)
		calls := map[string]func() error{
			"announce": func() error { return store.Announce(w.t.Context(), Presence{StartID: "A"}) },
			"list":     func() error { _, _, err := store.ListAll(w.t.Context()); return err },
			"withdraw": func() error { return store.Withdraw(w.t.Context(), "A") },
		}
		for name, call := range calls {
			for _, f := range []fault{pass, refuse, swallow, throttle, down} {
				what, requests = f, nil
				began := time.Now()
				if err := call(); (err == nil) != (f == pass) {
					t.Errorf("%s, fault %d: %v", name, f, err)
				}
				if name == "list" && (f == refuse || f == swallow) {
					continue // azcosmos itself repeats a read that had no answer
				}
				if len(requests) != 1 || time.Since(began) != 0 {
					t.Errorf("%s, fault %d: %d requests in %s", name, f, len(requests), time.Since(began))
				}
			}
		}
		what = pass
		if err := calls["announce"](); err != nil {
			t.Fatal(err)
		}
		requests = nil
		if err := calls["list"](); err != nil || len(requests) != 1 || requests[0] == http.MethodPost {
			t.Errorf("a listing after a write sent %q (%v): no session", requests, err)
		}
		for _, status := range []int{http.StatusOK, http.StatusNoContent} {
			proxy := NewStore(w.client(answering{status: status, through: inproc.New(w.server)}), testPrefix)
			if err := proxy.Announce(w.t.Context(), Presence{StartID: "A"}); err == nil {
				t.Errorf("the %d of somebody else counted", status)
			}
		}
		gone := NewStore(w.client(answering{status: http.StatusNotFound, substatus: "1003", through: inproc.New(w.server)}), testPrefix)
		if err := gone.Withdraw(w.t.Context(), "A"); err == nil {
			t.Error("withdrawn from a container that is not there")
		}
	})
}

// A host that nobody can see says so, once, also if the account does not answer.
func TestPresenceHangs(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.process("a").start(nil)
		time.Sleep(time.Second) // it has both leases
		b := w.process("b")
		b.wire.set(func(r *http.Request, _ int) fault {
			if isWrite(r) {
				return hang
			}
			return pass
		})
		b.start(nil)
		time.Sleep(time.Minute)
		if n := b.logged("host cannot be announced, trying again"); n != 1 {
			t.Errorf("it was said %d times", n)
		}
		b.stop()
		a.stop()
	})
}

// Whatever is taken for a presence is one that Announce could have written.
func FuzzDecodePresence(f *testing.F) {
	f.Add([]byte(`{"id":"p.host.A","startId":"A","instance":"host-1","renewal":2,"ttl":60,"_ts":1}`))
	f.Add([]byte(`{"id":"p.host.A","startId":"A","startId":"B","instance":null,"renewal":1e3}`))
	f.Add([]byte(`{"startId":"\ud800","renewal":9007199254740993}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		p, ok := decodePresence(body)
		if ok && (p.StartID == "" || p.Renewal < 0 || len(p.StartID)+len(p.Instance) > 3*presenceSize) {
			t.Fatalf("%q is %+v", body, p)
		}
	})
}
