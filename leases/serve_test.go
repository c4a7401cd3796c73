package leases

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"go.uber.org/zap/zapcore"
)

// A range that fails is given up, and not taken again at once by the same
// process.
func TestServeFails(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.process("a").start(func(stop, _ context.Context, s *tenureSeen) error {
			if s.token == "0" {
				s.t.Checkpoint(at(int(s.t.Epoch())))
				return errors.New("bad range")
			}
			<-stop.Done()
			return nil
		})
		time.Sleep(time.Minute)
		n := len(p.seen("0"))
		if n < 6 || n > 15 {
			t.Errorf("a range that fails at once was served %d times in a minute", n)
		}
		if p.logged("range failed, its lease is given back") != n || p.log.FilterLevelExact(zapcore.ErrorLevel).Len() != 1 {
			t.Error("a failure that repeats itself is an error once, each time a line for who looks closer")
		}
		if d := w.read("0"); d.Owner != "" || number(t, d.Continuation) != n || d.Epoch != int64(n) {
			t.Errorf("stored %+v", d)
		}
		if len(p.seen("1")) != 1 {
			t.Error("the other range suffered")
		}
		// Others need not wait.
		b := w.process("b").start(nil)
		time.Sleep(3 * time.Second)
		if b.holds("0") == nil && p.holds("0") == nil {
			t.Error("the other process did not take it")
		}
		p.stop()
		b.stop()
	})
}

// Ranges that failed once and are no more are forgotten.
func TestRestIsForgotten(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.process("a")
		for n := range 100 {
			writer := &writer{m: p.m, t: &Tenure{lease: Document{ID: strconv.Itoa(n)}}, log: p.m.log}
			p.m.rest(writer, time.Now(), errors.New("bad range"))
			time.Sleep(time.Second)
		}
		if n := len(p.m.resting); n == 0 || n > 15 {
			t.Errorf("%d leases rest, each for a second", n)
		}
	})
}

func TestServePanics(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.process("a")
		raised := make(chan string, 1)
		var drained bool
		go func() {
			defer func() { raised <- fmt.Sprint(recover()) }()
			_ = p.m.Run(context.Background(), func(stop, work context.Context, tenure *Tenure) error {
				if tenure.Token() == "0" {
					time.Sleep(5 * time.Second)
					panic("broken")
				}
				<-stop.Done()
				time.Sleep(time.Second)
				drained = work.Err() == nil
				tenure.Checkpoint(at(6))
				return nil
			})
		}()
		got := <-raised
		if !strings.Contains(got, "broken") || !drained {
			t.Errorf("raised %q, the other range was drained: %v", got, drained)
		}
		if d := w.read("1"); d.Owner != "" || d.Continuation != at(6) {
			t.Errorf("the other range's lease: %+v", d)
		}
		if d := w.read("0"); d.Owner != "a" {
			t.Errorf("the lease of the range that panicked: %+v", d)
		}
	})
}

// Several start at once: each range is created once and has one holder.
func TestStartTogether(t *testing.T) {
	inWorld(t, func(w *world) {
		w.ranges = nil
		for i := range 8 {
			w.ranges = append(w.ranges, Range{Token: fmt.Sprint(i), Continuation: at(1), Range: azcosmos.FeedRange{
				MinInclusive: []string{"", "04", "08", "0C", "10", "14", "18", "1C"}[i],
				MaxExclusive: []string{"04", "08", "0C", "10", "14", "18", "1C", "FF"}[i]}})
		}
		var all []*process
		for i := range 4 {
			all = append(all, w.process(fmt.Sprint("p", i)).start(nil))
		}
		w.guard(30*time.Second, all...)
		for _, r := range w.ranges {
			if d := w.read(r.Token); d.Owner == "" || d.Epoch > 3 || d.Continuation != at(1) {
				t.Errorf("lease %+v", d)
			}
		}
		for _, p := range all {
			if n := len(p.holding()); n != 2 {
				t.Errorf("%s has %d leases", p.name, n)
			}
		}
		for _, p := range all {
			p.stop()
		}
	})
}

// Somebody else makes the lease after the listing: that is as good.
func TestCreatedBySomebodyElse(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.process("a", func(_ *Config, d *Deps) {
			d.Ranges = func(context.Context) ([]Range, error) {
				w.create(Document{ID: w.store.ID("1"), Token: "1", Range: w.ranges[1].Range, Continuation: at(4)})
				return w.ranges, nil
			}
		}).start(nil)
		time.Sleep(5 * time.Second)
		if p.holds("0") == nil || p.holds("1") == nil || p.holds("1").Lease().Continuation != at(4) {
			t.Errorf("tenures %+v", p.seen(""))
		}
		if p.logged("lease created") != 1 || p.logged("leases cannot be listed or created, trying again") != 0 {
			t.Errorf("log %v", p.log.All())
		}
		p.stop()
	})
}

func TestLeftAlone(t *testing.T) {
	inWorld(t, func(w *world) {
		// Range 1 has a version 1 lease that .NET renews, an old lease is of a
		// range that is gone, one is no lease, and range 0 has one as .NET left it.
		w.createRaw(fmt.Sprintf(`{"id":"%s..1FFF-FF","version":1,"LeaseToken":"1FFF-FF","Owner":"HOST","FeedRange":{"Range":{"min":"1FFF","max":"FF"}}}`, testPrefix))
		w.createRaw(fmt.Sprintf(`{"id":"%s..99","version":0,"LeaseToken":"99","Owner":null,"FeedRange":{"Range":{"min":"","max":"FF"}}}`, testPrefix))
		w.createRaw(fmt.Sprintf(`{"id":"%s..odd","version":{}}`, testPrefix))
		w.createRaw(fmt.Sprintf(`{"id":"%s.info"}`, testPrefix))
		w.createRaw(fmt.Sprintf(`{"id":"%s..0","LeaseToken":"0","FeedRange":null,"Owner":null,"ContinuationToken":"\"7\"","properties":{"p":"q"},"Mode":"Incremental Feed","more":[1,{"a":"<b>"}]}`, testPrefix))
		w.ranges[0].Range.MaxExclusive, w.ranges[1].Range.MinInclusive = "1FFF", "1FFF"
		p := w.process("a").start(nil)
		for range 10 {
			time.Sleep(17 * time.Second) // .NET's interval
			w.put(w.read("1FFF-FF"))
		}
		if s := p.seen(""); len(s) != 1 || s[0].token != "0" || s[0].t.Range() != w.ranges[0].Range || s[0].t.Lease().Continuation != at(7) {
			t.Errorf("tenures %+v", s)
		}
		for _, message := range []string{
			"lease document is not readable, it is left alone", "lease is of no range that could be read, it is left alone",
		} {
			if n := p.logged(message); n != 1 {
				t.Errorf("%q was logged %d times", message, n)
			}
		}
		if infos := p.m.Snapshot(); len(infos) != 4 {
			t.Errorf("snapshot %+v", infos)
		}
		p.stop()
		reply, err := w.raw.ReadItem(w.t.Context(), azcosmos.NewPartitionKeyString(testPrefix+"..0"), testPrefix+"..0", nil)
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Mode       string
			More       any
			FeedRange  json.RawMessage
			Properties map[string]string
		}
		if err := json.Unmarshal(reply.Value, &got); err != nil {
			t.Fatal(err)
		}
		if got.Mode != "Incremental Feed" || !reflect.DeepEqual(got.More, []any{1.0, map[string]any{"a": "<b>"}}) || got.Properties["p"] != "q" || got.Properties[propertyEpoch] != "1" ||
			!strings.Contains(string(got.FeedRange), `"1FFF"`) {
			t.Errorf("stored %s", reply.Value)
		}
		for _, id := range []string{"99", "1FFF-FF"} {
			if d := w.read(id); d.Epoch != 0 || d.StartID != "" {
				t.Errorf("written %+v", d)
			}
		}
	})
}

// A lease that disappears leaves a gap, which is closed.
func TestGapIsClosed(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.process("a").start(nil)
		time.Sleep(11 * time.Second) // between two renewals
		if err := w.store.Delete(w.t.Context(), w.read("1")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(15 * time.Second)
		if p.holds("1") == nil || p.logged("lease created") != 3 {
			t.Error("the lease was not made again")
		}
		p.stop()
	})
}

// Where the live ranges cannot be had, nothing is taken: it might be gone.
func TestRangesFail(t *testing.T) {
	inWorld(t, func(w *world) {
		var fails atomic.Bool
		var asked atomic.Int64
		fails.Store(true)
		p := w.process("a", func(_ *Config, d *Deps) {
			d.Ranges = func(context.Context) ([]Range, error) {
				if asked.Add(1); fails.Load() {
					return nil, errors.New("no")
				}
				return w.ranges, nil
			}
		})
		w.create(Document{ID: w.store.ID("0"), Token: "0", Range: w.ranges[0].Range})
		p.start(nil)
		time.Sleep(30 * time.Second)
		if n := asked.Load(); len(p.seen("")) != 0 || n < 5 || n > 15 {
			t.Errorf("%d tenures, asked %d times", len(p.seen("")), n)
		}
		fails.Store(false)
		time.Sleep(8 * time.Second)
		asked.Store(0)
		if len(p.seen("")) != 2 {
			t.Error("it did not come up")
		}
		time.Sleep(time.Minute)
		if n := asked.Load(); n != 0 {
			t.Errorf("ranges were asked for %d times without need", n)
		}
		p.stop()
	})
}

func TestNewManagerRefuses(t *testing.T) {
	inWorld(t, func(w *world) {
		good := Deps{Store: w.store, Instance: "a"}
		if _, err := NewManager(DefaultConfig(), good); err != nil {
			t.Fatal(err)
		}
		for name, deps := range map[string]Deps{
			"no store": {Instance: "a"}, "no instance": {Store: w.store},
			"quote in prefix": {Store: NewStore(w.raw, "a'b"), Instance: "a"}, "slash in prefix": {Store: NewStore(w.raw, "a/b"), Instance: "a"},
		} {
			if _, err := NewManager(DefaultConfig(), deps); err == nil {
				t.Errorf("%s was allowed", name)
			}
		}
		if _, err := NewManager(Config{}, good); err == nil {
			t.Error("an empty configuration was allowed")
		}
	})
}
