package leases

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"go.uber.org/zap/zapcore"

	"opfeed/internal/inproc"
)

// Whatever lies in the lease container, each range is served once, soon.
func TestJunkCostsNoRange(t *testing.T) {
	const wide = `"FeedRange":{"Range":{"min":"","max":"FF"}}`
	for name, test := range map[string]struct {
		body   string
		errors int // logged
		kept   string
	}{
		"unknown token":         {`{"id":"%s..junk","version":0,"LeaseToken":"junk",` + wide + `,"properties":{}}`, 1, ""},
		"unknown token, owned":  {`{"id":"%s..junk","version":0,"LeaseToken":"junk","Owner":"x",` + wide + `}`, 1, ""},
		"version to come":       {`{"id":"%s..junk","version":7,"LeaseToken":"0",` + wide + `}`, 1, ""},
		"owned version 1":       {`{"id":"%s..-FF","version":1,"LeaseToken":"-FF","Owner":"dead",` + wide + `}`, 1, ""},
		"token of another id":   {`{"id":"%s..junk","version":0,"LeaseToken":"0",` + wide + `}`, 1, ""},
		"no lease":              {`{"id":"%s..junk","foo":1}`, 1, ""},
		"no lease, in place":    {`{"id":"%s..0","foo":1}`, 1, `"foo":1`},
		"owner is a number":     {`{"id":"%s..0","version":0,"LeaseToken":"0","Owner":7,"ContinuationToken":"\"7\"","properties":{"a":"b"}}`, 1, `"a":"b"`},
		"epoch is a word":       {`{"id":"%s..0","version":0,"LeaseToken":"0","Owner":"dead","properties":{"opfeed.epoch":"x"}}`, 1, ""},
		"epoch would overflow":  {`{"id":"%s..0","version":0,"LeaseToken":"0","Owner":"dead","properties":{"opfeed.epoch":"9223372036854775807"}}`, 1, ""},
		"version 7, in place":   {`{"id":"%s..0","version":7,"LeaseToken":"0","Owner":"dead",` + wide + `}`, 1, ""},
		"token 5, in place":     {`{"id":"%s..0","version":0,"LeaseToken":"5","Owner":"dead",` + wide + `}`, 1, ""},
		"part of the range":     {`{"id":"%s..0","version":0,"LeaseToken":"0","Owner":null,"FeedRange":{"Range":{"min":"1A","max":"FF"}}}`, 0, ""},
		"odd values, no matter": {`{"id":"%s..0","version":0,"LeaseToken":"0","Owner":"dead","timestamp":{},"properties":{"opfeed.startId":7,"opfeed.renewal":[],"a":7}}`, 0, `"a":7`},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.ranges[0].Continuation, w.ranges[1].Continuation = at(50), at(50)
				w.createRaw(fmt.Sprintf(test.body, testPrefix))
				a, b := w.process("a").start(nil), w.process("b").start(nil)
				patience := 17 * time.Second // under two expiries
				if strings.Contains(test.body, `"opfeed.startId":7`) || strings.HasPrefix(name, "version 7") || name == "owned version 1" {
					patience = 67 * time.Second // it looks like .NET's, which may still be there
				}
				w.guard(patience, a, b)
				for _, r := range w.ranges {
					if held := len(a.seen(r.Token)) + len(b.seen(r.Token)); held != 1 || a.holds(r.Token) == nil && b.holds(r.Token) == nil {
						t.Fatalf("range %s has had %d tenures", r.Token, held)
					}
					s := append(a.seen(r.Token), b.seen(r.Token)...)[0].t
					if s.Range() != r.Range {
						t.Errorf("range %s is %v", r.Token, s.Range())
					}
				}
				if n := len(a.seen("")) + len(b.seen("")); n != 2 {
					t.Errorf("%d tenures", n)
				}
				replaced := strings.Contains(test.body, "%s..0")
				said := max(a.log.FilterLevelExact(zapcore.ErrorLevel).Len(), b.log.FilterLevelExact(zapcore.ErrorLevel).Len())
				if said != test.errors {
					t.Errorf("%d errors were logged, want %d", said, test.errors)
				}
				if n := a.logged(messageReplaced) + b.logged(messageReplaced); n != 1 && replaced && test.errors > 0 || n != 0 && !replaced {
					t.Errorf("%d documents were replaced", n)
				}
				if strings.Contains(test.body, `\"7\"`) && w.read("0").Continuation != at(7) {
					t.Error("the position was not kept")
				}
				if !strings.Contains(w.stored("0"), test.kept) {
					t.Errorf("stored %s", w.stored("0"))
				}
				if !replaced && strings.Contains(w.stored("junk"), propertyEpoch) {
					t.Errorf("stored %s", w.stored("junk"))
				}
				a.stop()
				b.stop()
			})
		})
	}
}

const messageReplaced = "lease document could not be used, it was replaced"

// stored gives a document of the prefix as it is; "" when there is none.
func (w *world) stored(token string) string {
	w.t.Helper()
	id := w.store.ID(token)
	reply, err := w.raw.ReadItem(w.t.Context(), azcosmos.NewPartitionKeyString(id), id, nil)
	if answer, ok := errors.AsType[*azcore.ResponseError](err); ok && answer.StatusCode == http.StatusNotFound {
		return ""
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return string(reply.Value)
}

// remove deletes a lease, whoever is writing it.
func (w *world) remove(token string) {
	w.t.Helper()
	for {
		err := w.store.Delete(w.t.Context(), w.read(token))
		if err == nil {
			return
		}
		if !errors.Is(err, ErrConflict) {
			w.t.Fatal(err)
		}
	}
}

// What changes is somebody's: it is replaced when it has been still for an
// expiry, and not on the word of an older listing.
func TestReplacedOnlyWhenStill(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.store.ID("0")
		w.createRaw(fmt.Sprintf(`{"id":%q,"n":-1}`, id))
		p := w.process("a").start(nil)
		for n := range 10 {
			time.Sleep(7 * time.Second)
			if _, err := w.raw.ReplaceItem(t.Context(), azcosmos.NewPartitionKeyString(id), id, fmt.Appendf(nil, `{"id":%q,"n":%d}`, id, n), nil); err != nil {
				t.Fatal(err)
			}
		}
		if p.logged(messageReplaced) != 0 || p.holds("0") != nil || p.log.FilterLevelExact(zapcore.ErrorLevel).Len() != 0 {
			t.Error("it was replaced")
		}
		if got := p.m.Uncovered(); len(got) != 1 || got[0] != w.ranges[0].Range {
			t.Errorf("uncovered: %v", got)
		}
		// It changes between the listing and the write.
		p.wire.set(func(r *http.Request, _ int) fault {
			if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "..0") {
				p.wire.fault = nil // held by the caller
				if _, err := w.raw.ReplaceItem(t.Context(), azcosmos.NewPartitionKeyString(id), id, fmt.Appendf(nil, `{"id":%q,"n":99}`, id), nil); err != nil {
					t.Error(err)
				}
			}
			return pass
		})
		time.Sleep(16 * time.Second)
		if p.logged(messageReplaced) != 0 || !strings.Contains(w.stored("0"), `"n":99`) {
			t.Errorf("stored %s", w.stored("0"))
		}
		time.Sleep(16 * time.Second)
		if p.holds("0") == nil || !strings.Contains(w.stored("0"), `"n":99`) {
			t.Errorf("stored %s", w.stored("0"))
		}
		p.stop()
	})
}

// A lease that is damaged while it is held is served again within two expiries.
func TestDamagedWhileHeld(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.process("a").start(func(stop, _ context.Context, s *tenureSeen) error {
			s.t.Checkpoint(at(7))
			<-stop.Done()
			return nil
		})
		time.Sleep(5 * time.Second)
		var body map[string]any
		if err := json.Unmarshal([]byte(w.stored("0")), &body); err != nil {
			t.Fatal(err)
		}
		body["Owner"] = 7
		raw, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		id := w.store.ID("0")
		if _, err := w.raw.ReplaceItem(t.Context(), azcosmos.NewPartitionKeyString(id), id, raw, nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(18 * time.Second)
		s := p.seen("0")
		if len(s) != 2 || !errors.Is(s[0].cause, ErrLost) || s[1].t.Trusted() != nil || s[1].t.Epoch() != 2 || s[1].t.Lease().Continuation != at(7) {
			t.Errorf("tenures %+v", s)
		}
		if len(p.seen("1")) != 1 {
			t.Error("the other range suffered")
		}
		p.stop()
	})
}

// One lease that cannot be made does not keep the others from being made.
func TestOneCannotBeCreated(t *testing.T) {
	inWorld(t, func(w *world) {
		x := forbidding(w.server, func(r *http.Request, body string) bool {
			return isWrite(r) && strings.Contains(body, testPrefix+`..0"`)
		})
		p := w.process("a", func(_ *Config, d *Deps) { d.Store = NewStore(w.client(x), testPrefix) }).start(nil)
		time.Sleep(10 * time.Second)
		if p.holds("1") == nil || p.holds("0") != nil {
			t.Errorf("tenures %+v", p.seen(""))
		}
		p.stop()
	})
}

// transport is a wire of one func.
type transport func(*http.Request) (*http.Response, error)

func (f transport) Do(r *http.Request) (*http.Response, error) { return f(r) }

// forbidding answers 403 to some requests, and says in the body what was sent,
// as some proxies do.
func forbidding(server http.Handler, some func(r *http.Request, body string) bool) transport {
	next := inproc.New(server)
	return func(r *http.Request) (*http.Response, error) {
		var body []byte
		if r.Body != nil {
			body, _ = io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		if r.URL.Path == "/" || r.URL.Path == "" || !some(r, string(body)) {
			return next.Do(r)
		}
		var page bytes.Buffer
		page.WriteString("<html>you sent:\n")
		if err := r.Header.Write(&page); err != nil {
			return nil, err
		}
		reply := answer(r, http.StatusForbidden, "x-ms-activity-id", time.Now().String())
		reply.Body = io.NopCloser(&page)
		return reply, nil
	}
}

// No secret is logged, whatever the account's answers hold.
func TestNoAnswerIsLogged(t *testing.T) {
	inWorld(t, func(w *world) {
		var phase atomic.Value
		phase.Store("listing")
		x := forbidding(w.server, func(r *http.Request, body string) bool {
			switch phase.Load() {
			case "listing":
				return !isWrite(r)
			case "create":
				return isWrite(r)
			case "acquire", "renew":
				return r.Method == http.MethodPut
			}
			return strings.Contains(body, "opfeed.epoch") && strings.Contains(body, `"99"`)
		})
		p := w.process("a", func(_ *Config, d *Deps) { d.Store = NewStore(w.client(x), testPrefix) })
		p.start(func(_, work context.Context, s *tenureSeen) error {
			if s.token == "1" {
				<-work.Done()
				return nil
			}
			// What a range fails of may be an answer, too.
			_, err := p.m.store.Replace(work, Document{ID: w.store.ID("0"), Token: "0", Epoch: 99, ETag: "old"})
			return err
		})
		for _, now := range []string{"listing", "create", "acquire", "none", "renew", "none"} {
			phase.Store(now)
			time.Sleep(20 * time.Second)
		}
		p.cancel()
		for _, message := range []string{
			"leases cannot be listed or created, trying again", "lease could not be taken, trying again",
			"lease write failed, trying again", "range failed, its lease is given back",
		} {
			if p.logged(message) == 0 {
				t.Errorf("%q was not logged: nothing was tested", message)
			}
		}
		for _, e := range p.log.All() {
			line, err := json.Marshal(e.ContextMap())
			if err != nil {
				t.Fatal(err)
			}
			if text := strings.ToLower(e.Message + string(line)); strings.Contains(text, "authorization") || strings.Contains(text, "you sent") || strings.Contains(text, "type%3dmaster") {
				t.Errorf("logged: %s %s", e.Message, line)
			}
		}
		if err := <-p.done; err != nil {
			t.Error(err)
		}
	})
}

// A range that fails with an answer, which has another request id each time, and
// then for another reason, is an error twice, and once more after it has worked.
func TestFailureIsSaidOncePerChange(t *testing.T) {
	inWorld(t, func(w *world) {
		x := forbidding(w.server, func(*http.Request, string) bool { return true })
		store := NewStore(w.client(x), testPrefix)
		began := time.Now()
		p := w.process("a").start(func(stop, work context.Context, s *tenureSeen) error {
			since := time.Since(began)
			switch {
			case s.token == "1":
				<-stop.Done()
				return nil
			case since < time.Minute:
				_, err := store.Read(work, "x")
				return err
			case since > 2*time.Minute && since < 3*time.Minute:
				sleep(stop, 3*time.Minute-since) // it works for a while
			}
			return errors.New("another reason")
		})
		for minute, want := range []int{1, 2, 2, 3} {
			time.Sleep(time.Until(began.Add(time.Duration(minute+1)*time.Minute - time.Second)))
			if minute == 3 {
				time.Sleep(time.Minute)
			}
			lines := p.log.FilterMessage("range failed, its lease is given back")
			if loud, all := lines.FilterLevelExact(zapcore.ErrorLevel).Len(), lines.Len(); loud != want || all < 6 {
				t.Errorf("after minute %d: %d of %d failures are errors, want %d", minute+1, loud, all, want)
			}
		}
		p.stop()
	})
}

func TestUncovered(t *testing.T) {
	inWorld(t, func(w *world) {
		a, b := w.process("a"), w.process("b")
		if got := a.m.Uncovered(); len(got) != 1 || got[0] != whole {
			t.Errorf("before anything is known: %v", got)
		}
		show := func(when string, p *process, want ...azcosmos.FeedRange) {
			t.Helper()
			if got := p.m.Uncovered(); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s, seen by %s: %v, want %v", when, p.name, got, want)
			}
		}
		first, second := w.ranges[0].Range, w.ranges[1].Range
		var lingers atomic.Bool
		a.start(func(stop, work context.Context, _ *tenureSeen) error {
			<-stop.Done()
			if work.Err() != nil && lingers.Load() {
				time.Sleep(10 * time.Second) // holds a range no more, but is not gone
			}
			return nil
		})
		time.Sleep(5 * time.Second)
		// b sees everything and can take nothing.
		b.wire.set(func(r *http.Request, _ int) fault {
			if isWrite(r) {
				return refuse
			}
			return pass
		})
		b.start(nil)
		time.Sleep(5 * time.Second)
		for range 60 {
			time.Sleep(time.Second)
			show("in health", a)
			show("in health", b)
		}
		// No lease.
		a.wire.set(func(r *http.Request, _ int) fault {
			if r.Method == http.MethodPost && isWrite(r) {
				return refuse
			}
			return pass
		})
		w.remove("0")
		time.Sleep(5 * time.Second)
		show("deleted", a, first)
		show("deleted", b, first)
		a.wire.set(nil)
		time.Sleep(14 * time.Second) // both had failed to make it, and wait up to 5 s
		show("made again", a)
		show("made again", b)
		// The holder dies.
		lingers.Store(true)
		a.wire.set(always(refuse))
		time.Sleep(5 * time.Second)
		show("not yet expired", a)
		show("not yet expired", b)
		time.Sleep(10 * time.Second)
		show("expired", a, first, second)
		show("expired", b, first, second)
		a.wire.set(nil)
		time.Sleep(10 * time.Second)
		show("taken again", a)
		show("taken again", b)
		a.stop()
		time.Sleep(3 * time.Second)
		show("free", a, first, second)
		show("free", b, first, second)
		b.wire.set(nil)
		time.Sleep(8 * time.Second)
		show("taken", b)
		b.stop()
	})
}

// A gap that cannot be closed, and is looked at less and less often, does not
// delay the closing of the next one.
func TestSecondGap(t *testing.T) {
	inWorld(t, func(w *world) {
		w.ranges[0].Range.MaxExclusive, w.ranges[1].Range.MinInclusive = "1FFF", "1FFF"
		w.createRaw(fmt.Sprintf(`{"id":"%s..-10","version":1,"LeaseToken":"-10","Owner":"HOST","FeedRange":{"Range":{"min":"","max":"10"}}}`, testPrefix))
		p := w.process("a").start(nil)
		for range 60 {
			time.Sleep(17 * time.Second)
			w.put(w.read("-10"))
		}
		if p.holds("0") != nil || p.holds("1") == nil {
			t.Errorf("tenures %+v", p.seen(""))
		}
		for range 5 { // whatever the wait was in its last round
			w.remove("1")
			time.Sleep(10 * time.Second)
			if p.holds("1") == nil {
				t.Error("the lease was not made again")
			}
			w.put(w.read("-10"))
		}
		p.stop()
	})
}
