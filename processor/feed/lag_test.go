package feed

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/internal/cosmosemu"
	"opfeed/internal/epk"
)

// The cases of .NET's estimator, with the answer it gives where that is another:
// it shows 1 for what it does not know, and 0 for what it cannot read.
func TestEstimate(t *testing.T) {
	t.Parallel()
	const failure = -1
	for _, c := range []struct {
		name, session, first string // first: the one item; "" for 304
		want                 int64
	}{
		{"10/5", "0:10", `{"_lsn":5}`, 6},
		{"30/15", "0:30", `{"_lsn":15}`, 16},
		{"nothing to come", "0:30", "", 0},
		{"nothing ever", "0:-1#0", "", 0},
		{"the newest alone", "0:30", `{"_lsn":30}`, 1},
		{"everything", "0:30", `{"_lsn":1}`, 30},
		{"token of version 1", "0:-1#10#1=1#2=2", `{"_lsn":5}`, 6},
		{"token without a range", "10", `{"_lsn":5}`, 6},
		{"token of two parts", "0:1#10", `{"_lsn":5}`, 6},
		{"name in another casing", "0:10", `{"_LSN":5}`, 6},
		{"name in two casings", "0:10", `{"_LSN":9,"_lsn":5}`, 6},
		{"LSN with a fraction of 0", "0:10", `{"_lsn":5.0}`, 6},
		{"LSN 0", "0:10", `{"_lsn":0}`, 10},                   // .NET: 1
		{"replica that lags, .NET 0", "0:4", `{"_lsn":5}`, 1}, // there is a change to come
		{"replica that lags far", "0:4", `{"_lsn":50}`, 1},
		{"no token, .NET 0", "", `{"_lsn":5}`, failure},
		{"no token and nothing to come", "", "", failure},
		{"token without an LSN", "0:", "", failure},
		{"token with odd parts", "0:1#x", "", failure},
		{"token below 0", "0:-5", "", failure},
		{"token of several ranges", "0:-1#5,1:-1#6", "", failure},
		{"token beyond numbers", "0:99999999999999999999", "", failure},
		{"hostile token", "0:\x1b[2J", "", failure},
		{"no LSN", "0:10", `{"id":"x"}`, failure},
		{"LSN that is a text", "0:10", `{"_lsn":"5"}`, failure},
		{"LSN below 0", "0:10", `{"_lsn":-5}`, failure},
		{"LSN with a fraction", "0:10", `{"_lsn":5.5}`, failure},
		{"no object", "0:10", `7`, failure},
		{"null", "0:10", `null`, failure},
		{"no JSON", "0:10", `{`, failure},
	} {
		var items []Item
		if c.first != "" {
			items = append(items, newItem(json.RawMessage(c.first), 10))
		}
		have, err := estimate(c.session, items)
		if c.want == failure && err == nil || c.want != failure && (err != nil || have != c.want) {
			t.Errorf("%s: have %d, %v, want %d", c.name, have, err, c.want)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\x1b\n") {
			t.Errorf("%s: the error is %q", c.name, err)
		}
	}
}

// Where there is no position there is no number, and no request.
func TestFieldBug18LagWithoutAPosition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &service{ranges: whole0}
		s.add("20", `{"id":"x","_lsn":LSN}`)
		r := NewReader(containerOf(t, s), 100, time.Minute)
		for _, position := range []string{"", Now} {
			if lag, err := r.Lag(t.Context(), full, position); !errors.Is(err, ErrNoPosition) || lag != (Lag{}) {
				t.Errorf("position %q: %+v, %v", position, lag, err)
			}
		}
		for _, bad := range []string{`{"version":1}`, "\"1\"\r\nx: y"} {
			if lag, err := r.Lag(t.Context(), full, bad); err == nil || errors.Is(err, ErrNoPosition) {
				t.Errorf("position %q: %+v, %v", bad, lag, err)
			}
		}
		for _, bad := range []azcosmos.FeedRange{{MinInclusive: "g"}, {MinInclusive: "10", MaxExclusive: "\r\n"}, {MinInclusive: "20", MaxExclusive: "10"}, {MinInclusive: "FF"}} {
			if lag, err := r.Lag(t.Context(), bad, `"1"`); err == nil {
				t.Errorf("range %q: %+v", bad, lag)
			}
		}
		if len(s.requests) != 0 {
			t.Errorf("%d requests", len(s.requests))
		}
	})
}

// One request of one item, whatever the reader's page is.
func TestLagIsOneRequestOfOneItem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &service{ranges: whole0}
		r := NewReader(containerOf(t, s), 100, time.Minute)
		for range 10 {
			s.add("20", `{"id":"x","_lsn":LSN}`)
		}
		for position, want := range map[string]int64{`"4"`: 6, `"0"`: 10, `"10"`: 0, `"9"`: 1} {
			before := len(s.requests)
			lag, err := r.Lag(t.Context(), full, position)
			if err != nil || lag != (Lag{Transactions: want, Parts: 1, RequestCharge: 1}) {
				t.Errorf("position %s: %+v, %v", position, lag, err)
			}
			if n := len(s.requests) - before; n != 1 {
				t.Errorf("%d requests", n)
			}
			if h := s.last(); h.Get("x-ms-max-item-count") != "1" || h.Get("If-None-Match") != position || h.Get("x-ms-start-epk") != "" {
				t.Errorf("sent %v", h)
			}
		}
		s.status = http.StatusTooManyRequests
		if lag, err := r.Lag(t.Context(), full, `"1"`); err == nil {
			t.Errorf("429: %+v", lag)
		}
	})
}

// A range that was split while nobody read it, or is split right now, has the
// lag of its children, in whatever state azcosmos' cache is.
func TestFieldBug18LagOfASplitRange(t *testing.T) {
	for _, cached := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			server, container := ranged(t, cosmosemu.Options{}, 1)
			r := NewReader(container, 100, time.Minute)
			if cached {
				if _, err := r.Ranges(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			for n := range 10 {
				write(t, container, fmt.Sprint("s", n), "d", n) // LSNs 1 to 10
			}
			if !cached {
				container = containerOf(t, server)
				r = NewReader(container, 100, time.Minute)
			}
			if _, err := server.Split("db", "c", "0", cosmosemu.SplitOptions{}); err != nil {
				t.Fatal(err)
			}
			sum := int64(0)
			lag, err := r.Lag(t.Context(), full, `"4"`)
			children, errRanges := r.Ranges(t.Context())
			if err != nil || errRanges != nil || len(children) != 2 {
				t.Fatalf("lag %+v, %v, children %v, %v", lag, err, children, errRanges)
			}
			for _, child := range children {
				l, err := r.Lag(t.Context(), child, `"4"`)
				if err != nil || l.Transactions == 0 || l.AtMost || l.Parts != 1 {
					t.Errorf("child %v: %+v, %v", child, l, err)
				}
				sum += l.Transactions
			}
			if lag.Transactions != sum || lag.Parts != 2 || !lag.AtMost {
				t.Errorf("lag %+v, want the children's sum of %d", lag, sum)
			}
			if lag, err := r.Lag(t.Context(), full, `"11"`); err != nil || lag.Transactions != 0 || lag.AtMost || lag.Parts != 2 {
				t.Errorf("caught up: %+v, %v", lag, err)
			}
		})
	}
}

// A range that is a part of a partition, as after a merge, has no lag while
// nothing of its own is to come, whatever comes for the others.
func TestLagOfAPartOfAPartition(t *testing.T) {
	for _, c := range []struct {
		name           string
		cached, ignore bool // the cache is of before the merge; the account ignores our headers
		idle           Lag
	}{
		{"merged before", false, false, Lag{Parts: 1}},
		{"merged under way", true, false, Lag{Parts: 1}},
		{"headers ignored", false, true, Lag{Parts: 1, Transactions: 8, AtMost: true}}, // honest at least
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, container := ranged(t, cosmosemu.Options{IgnoreEPKHeaders: c.ignore}, 2)
				r := NewReader(container, 100, time.Minute)
				ranges, err := r.Ranges(t.Context())
				if err != nil || len(ranges) != 2 {
					t.Fatalf("ranges %v, %v", ranges, err)
				}
				if !c.cached {
					container = containerOf(t, server)
					r = NewReader(container, 100, time.Minute)
				}
				if _, err := server.Merge("db", "c", "0", "1"); err != nil {
					t.Fatal(err)
				}
				writer := containerOf(t, server)
				first, err := NewReader(writer, 1, time.Minute).Read(t.Context(), full, Now)
				if err != nil {
					t.Fatal(err)
				}
				keys := keysIn(ranges[1], 8)
				for n, key := range keys {
					write(t, writer, key, "d", n)
				}
				lag, err := r.Lag(t.Context(), ranges[0], first.Continuation)
				lag.RequestCharge = 0
				if err != nil || lag != c.idle {
					t.Errorf("nothing to come of its own: %+v, %v", lag, err)
				}
				if lag, err = r.Lag(t.Context(), ranges[1], first.Continuation); err != nil || lag.Transactions != 8 || !lag.AtMost || lag.Parts != 1 {
					t.Errorf("everything to come is its own: %+v, %v", lag, err)
				}
				write(t, writer, keysIn(ranges[0], 1)[0], "d", 0)
				if lag, err = r.Lag(t.Context(), ranges[0], first.Continuation); err != nil || lag.Transactions < 1 || !lag.AtMost {
					t.Errorf("one to come of its own: %+v, %v", lag, err)
				}
				if !c.ignore && lag.Transactions != 1 {
					t.Errorf("it counts from another's change: %+v", lag)
				}
			})
		})
	}
}

func ranged(t *testing.T, o cosmosemu.Options, ranges int) (*cosmosemu.Server, *azcosmos.ContainerClient) {
	t.Helper()
	o.Key = "a2V5"
	server := cosmosemu.New(o)
	if err := server.Create("db", cosmosemu.Container{ID: "c", PartitionKey: "/pk", Ranges: ranges}); err != nil {
		t.Fatal(err)
	}
	return server, containerOf(t, server)
}

// keysIn gives partition keys of a range.
func keysIn(rng azcosmos.FeedRange, n int) []string {
	var keys []string
	for i := 0; len(keys) < n; i++ {
		if key := fmt.Sprint("k", i); epk.Contains(rng.MinInclusive, rng.MaxExclusive, epk.Of(key)) {
			keys = append(keys, key)
		}
	}
	return keys
}
