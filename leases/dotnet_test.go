package leases

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

// theirs is what .NET's estimator, and with it KEDA's external scaler, makes of
// a lease: how far the feed of target is beyond continuation, and who lags.
type theirs struct {
	id, token, owner, continuation string
	target                         string // "pkrange 0" or "epk min max"
}

// readAsDotNet reads a lease as DocumentServiceLeaseCore and …CoreEpk do, by our
// facts, but for what Newtonsoft.Json forgives: names of other case, numbers for
// strings. What it could not read would end the listing for all leases.
func readAsDotNet(body []byte) (theirs, error) {
	var top map[string]any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&top); err != nil {
		return theirs{}, err
	}
	if _, err := d.Token(); err != io.EOF {
		return theirs{}, fmt.Errorf("something follows the lease")
	}
	var problems []string
	text := func(in map[string]any, name string, required bool) string {
		s, ok := in[name].(string)
		if !ok && (required || in[name] != nil) {
			problems = append(problems, fmt.Sprintf("%s is %v", name, in[name]))
		}
		return s
	}
	l := theirs{
		id: text(top, "id", true), token: text(top, "LeaseToken", true),
		owner: text(top, "Owner", false), continuation: text(top, "ContinuationToken", false),
	}
	for _, name := range []string{"Owner", "ContinuationToken", "timestamp"} {
		if _, ok := top[name]; !ok || top[name] == "" {
			problems = append(problems, name+" is missing or empty: it is null where there is none")
		}
	}
	quoted := len(l.continuation) > 2 && strings.HasPrefix(l.continuation, `"`) && strings.HasSuffix(l.continuation, `"`)
	if l.continuation != "" && !quoted {
		problems = append(problems, "If-None-Match: "+l.continuation)
	}
	if at := text(top, "timestamp", false); at != "" {
		if _, err := time.Parse("2006-01-02T15:04:05.9999999Z", at); err != nil {
			problems = append(problems, err.Error())
		}
	}
	properties, ok := top["properties"].(map[string]any)
	if !ok {
		problems = append(problems, "properties are no object")
	}
	for name := range properties {
		text(properties, name, true)
	}
	feedRange, _ := top["FeedRange"].(map[string]any)
	inner, _ := feedRange["Range"].(map[string]any)
	low, high := text(inner, "min", true), text(inner, "max", true)
	switch version, _ := top["version"].(json.Number); version {
	case "1": // the range alone
		l.target = "epk " + low + " " + high
		if l.token != low+"-"+high {
			problems = append(problems, "LeaseToken is "+l.token)
		}
	case "0": // the native scaler of KEDA knows only these
		l.target = "pkrange " + l.token
	default:
		problems = append(problems, "version "+version.String())
	}
	if !strings.HasSuffix(l.id, ".."+l.token) {
		problems = append(problems, "id "+l.id)
	}
	if len(problems) > 0 {
		return l, fmt.Errorf("%s", strings.Join(problems, "; "))
	}
	return l, nil
}

func TestGoldenReadAsDotNet(t *testing.T) {
	for name, d := range goldenOurs() {
		got, err := readAsDotNet(golden(t, name))
		want := theirs{id: d.ID, token: d.Token, owner: d.Owner, continuation: d.Continuation, target: "pkrange " + d.Token}
		if d.Version == VersionEPK {
			want.target = "epk " + d.Range.MinInclusive + " " + d.Range.MaxExclusive
		}
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, want)
		}
	}
	for _, name := range []string{"java-epk", "dotnet-range-missing-epk"} {
		if got, err := readAsDotNet(golden(t, name)); err == nil {
			t.Errorf("%s is read as %+v", name, got)
		}
	}
}

// Their query, at any moment of our leases' life, finds the leases and nothing
// else of ours, and can read them.
func TestStoredReadAsDotNet(t *testing.T) {
	inWorld(t, func(w *world) {
		ctx := w.t.Context()
		w.createRaw(`{"id":"` + testPrefix + `.quarantine.1","ttl":60,"kind":"quarantine"}`)
		if err := w.store.Mark(ctx); err != nil {
			t.Fatal(err)
		}
		w.ranges[1].Continuation = at(3)
		p := w.process("a").start(func(stop, _ context.Context, s *tenureSeen) error {
			for n := 10; ; n++ {
				select {
				case <-stop.Done():
					return nil
				case <-time.After(300 * time.Millisecond):
					s.t.Checkpoint(at(n))
				}
			}
		})
		seen := map[string]bool{}
		look := func(want int) {
			t.Helper()
			found := w.queryAsDotNet()
			if len(found) != want {
				t.Errorf("%d documents, want %d: %+v", len(found), want, found)
			}
			for _, l := range found {
				owned, begun := "free", "fresh"
				if l.owner != "" {
					owned = l.owner
				}
				if l.continuation != "" {
					begun = "begun"
				}
				seen[strings.Join([]string{l.target, owned, begun}, " ")] = true
			}
		}
		time.Sleep(time.Millisecond)
		w.take(w.store)
		time.AfterFunc(6*time.Second, func() { w.announce(Presence{StartID: "A", Instance: "idle"}) })
		for range 40 {
			look(2)
			time.Sleep(250 * time.Millisecond)
		}
		for _, edit := range []func(*Document){
			func(d *Document) { d.Request = "A idle" }, func(d *Document) { d.Offer = "A idle" },
			func(d *Document) { d.Start = "2026-03-01T12:00:00Z" },
		} {
			for { // its owner writes, too
				d := w.read("0")
				edit(&d)
				if _, err := w.store.Replace(ctx, d); err == nil {
					break
				}
			}
			look(2)
		}
		p.stop()
		look(2)
		child := azcosmos.FeedRange{MinInclusive: "0AAA", MaxExclusive: "1FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"}
		w.create(Document{ID: w.store.ID(epkToken(child)), Version: VersionEPK, Token: epkToken(child), Range: child, Continuation: at(7)},
			Document{ID: w.store.ID("-0AAA"), Version: VersionEPK, Token: "-0AAA", Range: azcosmos.FeedRange{MaxExclusive: "0AAA"}})
		look(4)
		for _, want := range []string{
			"pkrange 0 a fresh", "pkrange 0 a begun", "pkrange 1 a begun", "pkrange 0 idle begun", "pkrange 1 free begun",
			"epk 0AAA 1FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF free begun", "epk  0AAA free fresh",
		} {
			if !seen[want] {
				t.Errorf("%q was not seen; seen were %v", want, seen)
			}
		}
	})
}

// queryAsDotNet lists the leases as every reader of .NET's does: the prefix as a
// literal of the query.
func (w *world) queryAsDotNet() []theirs {
	w.t.Helper()
	pager := w.raw.NewQueryItemsPager("SELECT * FROM c WHERE STARTSWITH(c.id, '"+testPrefix+"..')", azcosmos.NewPartitionKey(), nil)
	var list []theirs
	for pager.More() {
		page, err := pager.NextPage(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		for _, item := range page.Items {
			l, err := readAsDotNet(item)
			if err != nil {
				w.t.Errorf("%s: %v", item, err)
			}
			list = append(list, l)
		}
	}
	slices.SortFunc(list, func(a, b theirs) int { return strings.Compare(a.id, b.id) })
	return list
}

// TestDotNetTakesOurs: a host of .NET that takes a lease of ours, free or expired,
// keeps its properties, our start id among them. It is one of .NET's all the same.
func TestDotNetTakesOurs(t *testing.T) {
	for _, died := range []bool{false, true} {
		inWorld(t, func(w *world) {
			w.oneRange()
			a := w.process("a").start(nil)
			time.Sleep(3 * time.Second)
			if died {
				a.wire.set(always(hang))
				time.Sleep(30 * time.Second)
			}
			a.stop()
			d := w.read("0")
			d.Timestamp = time.Now()
			body, err := d.encode()
			if err != nil {
				t.Fatal(err)
			}
			write := func(owner string) {
				t.Helper()
				body = ownerField.ReplaceAll(body, []byte(`"Owner":"`+owner+`"`))
				if _, err := w.raw.ReplaceItem(w.t.Context(), azcosmos.NewPartitionKeyString(d.ID), d.ID, body, nil); err != nil {
					t.Fatal(err)
				}
			}
			write("dotnet")
			b := w.process("b").start(nil)
			for range 6 {
				time.Sleep(17 * time.Second)
				if b.holds("0") != nil {
					t.Fatalf("taken from its owner (who took it of one that died: %t)", died)
				}
				write("dotnet") // it renews
			}
			time.Sleep(dotnetExpiry + 5*time.Second)
			if b.holds("0") == nil {
				t.Error("it died, and its lease is not taken")
			}
			b.stop()
		})
	}
}

var ownerField = regexp.MustCompile(`"Owner":(null|"[^"]*")`)
