package leases

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"opfeed/internal/inproc"
)

func TestStore(t *testing.T) {
	inWorld(t, func(w *world) {
		ctx := w.t.Context()
		d := Document{ID: w.store.ID("0"), Token: "0", Range: w.ranges[0].Range, Continuation: at(1)}
		created, err := w.store.Create(ctx, d)
		if err != nil || created.ETag == "" {
			t.Fatalf("create: %+v, %v", created, err)
		}
		if _, err := w.store.Create(ctx, d); !errors.Is(err, ErrConflict) {
			t.Errorf("create again: %v", err)
		}
		if _, err := w.store.Replace(ctx, d); err == nil {
			t.Error("replace without an ETag was allowed")
		}
		created.Continuation = at(2)
		replaced, err := w.store.Replace(ctx, created)
		if err != nil || replaced.ETag == created.ETag {
			t.Fatalf("replace: %+v, %v", replaced, err)
		}
		if _, err := w.store.Replace(ctx, created); !errors.Is(err, ErrConflict) {
			t.Errorf("replace an old version: %v", err)
		}
		if err := w.store.Delete(ctx, created); !errors.Is(err, ErrConflict) {
			t.Errorf("delete an old version: %v", err)
		}
		read, err := w.store.Read(ctx, d.ID)
		if err != nil || read.ETag != replaced.ETag || read.Continuation != at(2) {
			t.Errorf("read: %+v, %v", read, err)
		}
		// Another processor, whose name begins with this one's.
		other := NewStore(w.raw, testPrefix+"2")
		if _, err := other.Create(ctx, Document{ID: other.ID("0"), Token: "0"}); err != nil {
			t.Fatal(err)
		}
		if list, err := w.store.List(ctx); err != nil || len(list) != 1 || list[0].ETag != replaced.ETag {
			t.Errorf("list: %+v, %v", list, err)
		}
		if err := w.store.Delete(ctx, replaced); err != nil {
			t.Errorf("delete: %v", err)
		}
		if _, err := w.store.Read(ctx, d.ID); !errors.Is(err, ErrNotFound) {
			t.Errorf("read what is gone: %v", err)
		}
		if _, err := w.store.Replace(ctx, replaced); !errors.Is(err, ErrNotFound) {
			t.Errorf("replace what is gone: %v", err)
		}
	})
}

// Each call is one request: repeating a write is not azcore's decision, and
// sleeping not its time.
func TestStoreDoesNotRepeat(t *testing.T) {
	inWorld(t, func(w *world) {
		x := &wire{w: w, inner: inproc.New(w.server)}
		store := NewStore(w.client(x), testPrefix)
		d, err := store.Create(w.t.Context(), Document{ID: store.ID("0"), Token: "0"})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []fault{throttle, down, refuse} {
			x.set(always(f))
			before, began := x.nth, time.Now()
			if _, err := store.Replace(w.t.Context(), d); err == nil || errors.Is(err, ErrConflict) || errors.Is(err, ErrNotFound) {
				t.Errorf("fault %d: %v", f, err)
			}
			if x.nth != before+1 || time.Since(began) != 0 {
				t.Errorf("fault %d: %d requests in %s", f, x.nth-before, time.Since(began))
			}
		}
	})
}

// A 404 that is not about the document says nothing about the lease.
func TestNotFoundElsewhere(t *testing.T) {
	inWorld(t, func(w *world) {
		for name, substatus := range map[string]string{"session": "1002", "container": "1003"} {
			x := answering{status: http.StatusNotFound, substatus: substatus, through: inproc.New(w.server)}
			store := NewStore(w.client(x), testPrefix)
			if _, err := store.Read(w.t.Context(), store.ID("0")); err == nil || errors.Is(err, ErrNotFound) {
				t.Errorf("%s: %v", name, err)
			}
		}
		x := answering{status: http.StatusNotFound, account: true}
		store := NewStore(w.client(x), testPrefix)
		if _, err := store.Read(w.t.Context(), store.ID("0")); err == nil || errors.Is(err, ErrNotFound) {
			t.Errorf("account: %v", err)
		}
	})
}

// answering gives one answer to everything, or to everything but the account.
type answering struct {
	status    int
	substatus string
	account   bool
	through   *inproc.Transport
}

func (a answering) Do(r *http.Request) (*http.Response, error) {
	if r.URL.Path == "" && !a.account {
		return a.through.Do(r)
	}
	return answer(r, a.status, "x-ms-substatus", a.substatus), nil
}

// Reads after own writes carry the session of the write.
func TestStoreSession(t *testing.T) {
	inWorld(t, func(w *world) {
		x := &wire{w: w, inner: inproc.New(w.server)}
		var sent []string
		x.set(func(r *http.Request, _ int) fault {
			if !isWrite(r) && r.URL.Path != "" {
				sent = append(sent, r.Header.Get("x-ms-session-token"))
			}
			return pass
		})
		store := NewStore(w.client(x), testPrefix)
		if _, err := store.List(w.t.Context()); err != nil {
			t.Fatal(err)
		}
		d, err := store.Create(w.t.Context(), Document{ID: store.ID("0"), Token: "0"})
		if err != nil {
			t.Fatal(err)
		}
		_, err = store.Read(w.t.Context(), d.ID)
		_, err2 := store.List(w.t.Context())
		if errors.Join(err, err2) != nil {
			t.Fatal(err, err2)
		}
		if len(sent) != 3 || sent[0] != "" || sent[1] == "" || sent[2] != sent[1] {
			t.Errorf("session tokens %q", sent)
		}
	})
}
