package fault_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"opfeed/internal/fault"
	"opfeed/internal/inproc"
)

// effect is what a server with one effect of its own has.
type effect struct {
	fault.Effect
	Loud bool `json:"loud,omitempty"`
}

func (effect) Validate() error { return nil }

type (
	rule  = fault.Rule[effect]
	rules = fault.Rules[effect]
)

func newRules(t *testing.T, list ...rule) *rules {
	t.Helper()
	r := fault.New[effect]("kind", "id")
	for _, one := range list {
		if err := r.Add(one); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func request(kind, id string) func(string) string {
	return func(name string) string { return map[string]string{"kind": kind, "id": id}[name] }
}

func TestMatch(t *testing.T) {
	for pattern, c := range map[string]struct{ yes, no []string }{
		"read":       {[]string{"read"}, []string{"", "reads", "re"}},
		"read|write": {[]string{"read", "write"}, []string{"read|write", "rea"}},
		"opfeed..*":  {[]string{"opfeed..", "opfeed..0"}, []string{"opfeed.", "xopfeed..0"}},
		"*.info":     {[]string{".info", "a.info"}, []string{"info", ".info2"}},
		"a*b*c":      {[]string{"abc", "aXbYc", "abbc"}, []string{"acb", "ab"}},
		"ab*ba":      {[]string{"abba", "ab-ba"}, []string{"aba", "abab"}},
		"*a*a":       {[]string{"aa", "baca"}, []string{"a", "ab", "aab"}},
		"**":         {[]string{"", "a"}, nil},
		"*":          {[]string{"", "anything"}, nil},
		// Each * could stand for as much: to try it all would take for ever.
		strings.Repeat("*a", 20) + "*b": {[]string{strings.Repeat("a", 1000) + "b"}, []string{strings.Repeat("a", 1000)}},
		"":                              {[]string{""}, []string{"a"}},
		"/sub/*|/x/*":                   {[]string{"/sub/a/b", "/x/"}, []string{"/y/sub/"}},
	} {
		t.Run(pattern, func(t *testing.T) {
			r := newRules(t, rule{Name: "it", Match: fault.Match{"id": pattern}})
			for _, id := range c.yes {
				if len(r.Fire(request("read", id))) != 1 {
					t.Errorf("%q does not match %q", id, pattern)
				}
			}
			for _, id := range c.no {
				if len(r.Fire(request("read", id))) != 0 {
					t.Errorf("%q matches %q", id, pattern)
				}
			}
		})
	}
}

// All patterns must match; only matches count.
func TestWhen(t *testing.T) {
	for name, c := range map[string]struct {
		when fault.When
		want string // of ten matching requests, one a second
	}{
		"always":   {fault.When{}, "xxxxxxxxxx"},
		"third":    {fault.When{After: 2, Times: 1}, "..x......."},
		"twice":    {fault.When{Times: 2}, "xx........"},
		"delayed":  {fault.When{Delay: fault.Duration(4 * time.Second)}, "....xxxxxx"},
		"for 3 s":  {fault.When{For: fault.Duration(3 * time.Second)}, "xxx......."},
		"for ever": {fault.When{Delay: fault.Duration(time.Second), For: math.MaxInt64}, ".xxxxxxxxx"},
		"a window": {fault.When{Delay: fault.Duration(2 * time.Second), For: fault.Duration(5 * time.Second), After: 1}, "...xxxx..."},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.when.Seed = 7
				r := newRules(t, rule{Name: "it", Match: fault.Match{"kind": "read", "id": "a"}, When: c.when})
				var have strings.Builder
				for range 10 {
					r.Fire(request("read", "b"))
					r.Fire(request("write", "a"))
					hits := r.Fire(request("read", "a"))
					have.WriteString(map[int]string{0: ".", 1: "x"}[len(hits)])
					if len(hits) > 0 && hits[0].Seed != 7 {
						t.Errorf("a hit has the seed %d", hits[0].Seed)
					}
					time.Sleep(time.Second)
				}
				if have.String() != c.want {
					t.Errorf("have %s, want %s", have.String(), c.want)
				}
				if report := r.Reports()[0]; report.Hits != strings.Count(c.want, "x") || report.Matched > 10 {
					t.Errorf("%d hits of %d matches", report.Hits, report.Matched)
				}
			})
		})
	}
}

func TestProbability(t *testing.T) {
	run := func(seed uint64) (have []bool) {
		r := newRules(t, rule{Name: "it", When: fault.When{Probability: 0.3, Seed: seed}})
		for range 1000 {
			have = append(have, len(r.Fire(request("read", ""))) > 0)
		}
		if hits := r.Reports()[0].Hits; hits < 200 || hits > 400 {
			t.Errorf("seed %d: %d of 1000 are hit", seed, hits)
		}
		return have
	}
	if !slices.Equal(run(1), run(1)) {
		t.Error("the same seed does not give the same faults")
	}
	if slices.Equal(run(1), run(2)) {
		t.Error("another seed gives the same faults")
	}
}

func TestInvalid(t *testing.T) {
	body := ""
	for want, one := range map[string]rule{
		"needs a name":              {},
		`match has "colour"`:        {Name: "it", Match: fault.Match{"colour": "red"}},
		"neither can be negative":   {Name: "it", When: fault.When{After: -1}},
		"probability is 2":          {Name: "it", When: fault.When{Probability: 2}},
		"status is 99":              {Name: "it", Effect: effect{Effect: fault.Effect{Status: 99}}},
		"body needs a status":       {Name: "it", Effect: effect{Effect: fault.Effect{Body: &body}}},
		`reply is "lost"`:           {Name: "it", Effect: effect{Effect: fault.Effect{Reply: "lost"}}},
		"applied needs":             {Name: "it", Effect: effect{Effect: fault.Effect{Reply: fault.Cut, Applied: true}}},
		"before, after and jitter":  {Name: "it", Effect: effect{Effect: fault.Effect{Before: -1}}},
		"delay and for cannot be n": {Name: "it", When: fault.When{For: -1}},
	} {
		if err := fault.New[effect]("kind").Add(one); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("have %v, want %q", err, want)
		}
	}
}

// server is one that counts what it applied, and keeps how requests ended, under
// one effect.
func server(e fault.Effect) (handler http.Handler, applied *int, ends *[]fault.End) {
	applied, ends = new(int), new([]fault.End)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fault.Serve(w, r, e, fault.Answers{
			Apply: func(w http.ResponseWriter, _ *http.Request) {
				*applied++
				w.Header().Set("etag", `"1"`)
				w.WriteHeader(http.StatusCreated)
				_, _ = io.WriteString(w, `{"id":"a"}`)
			},
			Refuse: func(w http.ResponseWriter, e fault.Effect) {
				w.WriteHeader(e.Status)
				_, _ = fmt.Fprintf(w, "refused with %d", e.Status)
			},
			Ended: func(end fault.End) { *ends = append(*ends, end) },
		})
	}), applied, ends
}

// Every effect of its own: what arrives, and whether the request was applied.
func TestServe(t *testing.T) {
	html := "<html>"
	for name, c := range map[string]struct {
		effect  fault.Effect
		want    string // status, body, error of the body; or the error
		applied int
		took    time.Duration
		ended   string // status and bytes that were told
	}{
		"none":    {fault.Effect{}, `201 {"id":"a"} <nil>`, 1, 0, "201 10"},
		"waits":   {fault.Effect{Before: fault.Duration(time.Second), After: fault.Duration(2 * time.Second)}, `201 {"id":"a"} <nil>`, 1, 3 * time.Second, "201 10"},
		"status":  {fault.Effect{Status: 503}, `503 refused with 503 <nil>`, 0, 0, "503 16"},
		"body":    {fault.Effect{Status: 502, Body: &html}, `502 <html> <nil>`, 0, 0, "502 6"},
		"applied": {fault.Effect{Status: 503, Applied: true}, `503 refused with 503 <nil>`, 1, 0, "503 16"},
		"reset":   {fault.Effect{Reply: fault.Reset}, inproc.ErrReset.Error(), 0, 0, "0 0"},
		"lost":    {fault.Effect{Reply: fault.Reset, Applied: true}, inproc.ErrReset.Error(), 1, 0, "0 0"},
		"hang":    {fault.Effect{Reply: fault.Hang}, context.DeadlineExceeded.Error(), 0, time.Minute, "0 0"},
		"hang after": {fault.Effect{Reply: fault.Hang, Applied: true},
			context.DeadlineExceeded.Error(), 1, time.Minute, "0 0"},
		"cut":      {fault.Effect{Reply: fault.Cut}, `201 {"id" unexpected EOF`, 1, 0, "201 10"},
		"short":    {fault.Effect{Reply: fault.Short}, `201 {"id" <nil>`, 1, 0, "201 5"},
		"too late": {fault.Effect{Before: fault.Duration(time.Hour)}, context.DeadlineExceeded.Error(), 0, time.Minute, "0 0"},
		"late":     {fault.Effect{After: fault.Duration(time.Hour)}, context.DeadlineExceeded.Error(), 1, time.Minute, "0 0"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				handler, applied, ends := server(c.effect)
				start := time.Now()
				have := call(t, handler)
				if have != c.want || *applied != c.applied || time.Since(start) != c.took {
					t.Errorf("have %s, applied %d, took %v; want %s, %d, %v",
						have, *applied, time.Since(start), c.want, c.applied, c.took)
				}
				if len(*ends) != 1 || fmt.Sprint((*ends)[0].Status, (*ends)[0].Bytes) != c.ended {
					t.Errorf("told %+v, want %s", *ends, c.ended)
				}
			})
		})
	}
}

func call(t *testing.T, handler http.Handler) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://emulated.test", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := inproc.New(handler).RoundTrip(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return fmt.Sprintf("%d %s %v", resp.StatusCode, body, err)
}

func TestHeaders(t *testing.T) {
	handler, _, ends := server(fault.Effect{Header: map[string]string{"etag": `"0"`, "x-more": "1"}})
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if h := w.Header(); w.Code != http.StatusCreated || h.Get("ETag") != `"0"` || h.Get("X-More") != "1" {
		t.Errorf("have %d %v", w.Code, h)
	}
	if told := (*ends)[0].Header; told.Get("ETag") != `"0"` {
		t.Errorf("told %v", told)
	}
}

// A cut reply is one on a socket, too: the client knows that bytes are missing.
func TestCutOnASocket(t *testing.T) {
	handler, _, _ := server(fault.Effect{Reply: fault.Cut})
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	resp, err := http.Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); string(body) != `{"id"` || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("read %q, %v", body, err)
	}
}

func TestLongest(t *testing.T) {
	wait := func(e effect) fault.Duration { return e.Before }
	r := newRules(t)
	if have := r.Longest(wait); have != 0 {
		t.Errorf("have %v of no rules", have)
	}
	for i, d := range []fault.Duration{1, 3, 2} {
		if err := r.Add(rule{Name: fmt.Sprint(i), Effect: effect{Effect: fault.Effect{Before: d}}}); err != nil {
			t.Fatal(err)
		}
	}
	if have := r.Longest(wait); have != 3 {
		t.Errorf("have %v, want 3", have)
	}
}

func TestMerge(t *testing.T) {
	hits := []fault.Hit[effect]{
		{Effect: effect{Effect: fault.Effect{Before: 1, Header: map[string]string{"a": "1"}}}},
		{Effect: effect{Effect: fault.Effect{Jitter: 10}}, Chance: 0.5},
		{Effect: effect{Effect: fault.Effect{Status: 503, Applied: true, After: 2}}},
		{Effect: effect{Effect: fault.Effect{Status: 429, Reply: fault.Reset, Header: map[string]string{"A": "2"}}}},
	}
	have, err := json.Marshal(fault.Merge(hits))
	want := `{"before":"6ns","after":"2ns","status":503,"header":{"A":"2"},"applied":true}`
	if err != nil || string(have) != want {
		t.Errorf("have %s, want %s", have, want)
	}
}

func TestOverHTTP(t *testing.T) {
	r := newRules(t)
	ask := func(method, target, body string) (int, string) {
		w := httptest.NewRecorder()
		r.ServeHTTP(w, httptest.NewRequest(method, target, strings.NewReader(body)))
		return w.Code, strings.TrimSpace(w.Body.String())
	}
	text := `{"name":"one","match":{"kind":"read"},"when":{"times":1,"for":"1m0s"},"effect":{"status":503,"loud":true}}`
	if code, body := ask("POST", "/", text); code != http.StatusNoContent {
		t.Fatalf("have %d %s", code, body)
	}
	if hits := r.Fire(request("read", "")); len(hits) != 1 || !hits[0].Effect.Loud || hits[0].Rule != "one" {
		t.Errorf("have %+v", hits)
	}
	want := `[` + strings.TrimSuffix(text, "}") + `,"matched":1,"hits":1}]`
	if code, body := ask("GET", "/", ""); code != http.StatusOK || body != want {
		t.Errorf("have %d %s, want %s", code, body, want)
	}
	for body, want := range map[string]string{
		"":                                  "EOF",
		`{"name":"x","effects":{}}`:         "unknown field",
		`{"name":"x","match":{"path":"/"}}`: `match has \"path\"`,
		`{"name":"x","when":{"for":"1"}}`:   "missing unit",
		`{"name":"x"} {"name":"y"}`:         "something follows",
		`{"name":"x"}}`:                     "something follows",
	} {
		if code, answer := ask("POST", "/", body); code != http.StatusBadRequest || !strings.Contains(answer, want) {
			t.Errorf("%s: have %d %s, want %s", body, code, answer, want)
		}
	}
	if code, _ := ask("DELETE", "/?name=two", ""); code != http.StatusNotFound {
		t.Errorf("have %d for a rule that is not there", code)
	}
	if code, _ := ask("DELETE", "/?id=one", ""); code != http.StatusNotFound || len(r.Reports()) != 1 {
		t.Errorf("have %d for a misspelt name, %d rules are left", code, len(r.Reports()))
	}
	if code, _ := ask("DELETE", "/", ""); code != http.StatusNoContent || len(r.Reports()) != 0 {
		t.Errorf("have %d, %d rules are left", code, len(r.Reports()))
	}
	if code, _ := ask("PUT", "/", ""); code != http.StatusMethodNotAllowed {
		t.Errorf("have %d for PUT", code)
	}
}

func TestLog(t *testing.T) {
	for size, want := range map[int]string{0: "[] 0", 3: "[3 4 5] 5", 10: "[1 2 3 4 5] 5"} {
		l := fault.NewLog[int](size)
		for i := range 5 {
			l.Add(i + 1)
		}
		kept, total := l.Entries()
		if have := fmt.Sprint(kept, total); have != want {
			t.Errorf("size %d: have %s, want %s", size, have, want)
		}
	}
}
