package cosmosemu

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"opfeed/internal/epk"
	"opfeed/internal/fault"
)

// newFuzzServer has one item, {"id":"a","pk":"p"} and more, and takes any token
// for good: the fuzzed part is behind the door.
func newFuzzServer(tb testing.TB) *Server {
	tb.Helper()
	s := New(Options{})
	ttl := int32(-1)
	if err := s.Create("db", Container{ID: "items", PartitionKey: "/pk", DefaultTTL: &ttl}); err != nil {
		tb.Fatal(err)
	}
	if got := s.ask(http.MethodPost, "docs", `{"id":"a","pk":"p","n":1,"l":[1,{"x":2}],"o":{"a/b":null}}`); got.Code != http.StatusCreated {
		tb.Fatalf("create: %d", got.Code)
	}
	return s
}

// ask sends a request past the door.
func (s *Server) ask(method, below, body string, headers ...string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, "http://fuzz.cosmos.test/dbs/db/colls/items/"+below, bytes.NewReader([]byte(body)))
	req.Header.Set(headerPartitionKey, `["p"]`)
	for i := 0; i < len(headers); i += 2 {
		req.Header[http.CanonicalHeaderKey(headers[i])] = []string{headers[i+1]}
	}
	x := s.newExchange(req)
	w := httptest.NewRecorder()
	reply, err := func() (*reply, error) {
		if err := x.locate(); err != nil {
			return nil, err
		}
		if err := x.readBody(); err != nil {
			return nil, err
		}
		return s.dispatch(x)
	}()
	if err != nil {
		reply = refusal(err)
	}
	reply.send(w, x)
	return w
}

// sane demands JSON and a status that tells of no fault of the server.
func sane(t *testing.T, got *httptest.ResponseRecorder) {
	t.Helper()
	body, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	if len(body) > 0 && !json.Valid(body) {
		t.Errorf("status %d with a body that is no JSON: %q", got.Code, body)
	}
	if got.Code >= 500 || got.Code >= 400 && len(body) == 0 {
		t.Errorf("status %d, body %q", got.Code, body)
	}
}

func FuzzPatch(f *testing.F) {
	for _, body := range []string{
		`{"condition":"FROM c WHERE c.n = 1","operations":[{"op":"set","path":"/n","value":2}]}`,
		`[{"op":"add","path":"/l/-","value":[1]},{"op":"remove","path":"/l/0"},{"op":"incr","path":"/l/0/x","value":1e3}]`,
		`{"operations":[{"op":"replace","path":"/o/a~1b","value":{"\u0061":1,"a":2}}]}`, `null`, `{"operations":null}`,
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		s := newFuzzServer(t)
		got := s.ask(http.MethodPatch, "docs/a", body)
		sane(t, got)
		item := s.ask(http.MethodGet, "docs/a", "")
		sane(t, item)
		if got.Code == http.StatusOK && item.Code != http.StatusOK {
			t.Errorf("the patch %q was taken, then reading is %d", body, item.Code)
		}
	})
}

func FuzzBatch(f *testing.F) {
	for _, body := range []string{
		`[{"operationType":"Create","resourceBody":{"id":"b","pk":"p"}},{"operationType":"Read","id":"a"}]`,
		`[{"operationType":"Delete","id":"a","ifMatch":"x"}]`, `[{"operationType":"Upsert","resourceBody":{"id":"a","pk":"p","ttl":1}}]`,
		`[{"operationType":"Patch","id":"a","resourceBody":{"operations":[{"op":"incr","path":"/n","value":1}]}}]`, `[null]`, `[]`,
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		s := newFuzzServer(t)
		sane(t, s.ask(http.MethodPost, "docs", body, "x-ms-cosmos-is-batch-request", "True", "x-ms-cosmos-batch-atomic", "True"))
		sane(t, s.ask(http.MethodGet, "docs", ""))
		sane(t, s.ask(http.MethodGet, "docs", "", "A-IM", "Incremental Feed"))
	})
}

func FuzzItem(f *testing.F) {
	f.Add(`{"id":"b","pk":"p","x":[1,2.5e3,null,true,{"":"\ud83d\ude00"}]}`)
	f.Add(` {"pk":"p" , "id":"b","id":"c" } `)
	f.Add(`{"id":"b","p\u006b":"p","_ts":1,"ttl":5}`)
	f.Fuzz(func(t *testing.T, body string) {
		s := newFuzzServer(t)
		got := s.ask(http.MethodPost, "docs", body)
		if got.Code == http.StatusCreated {
			var sent, stored map[string]any
			if err := json.Unmarshal([]byte(body), &sent); err != nil {
				t.Fatalf("%q was taken: %v", body, err)
			}
			if err := json.Unmarshal(got.Body.Bytes(), &stored); err != nil {
				t.Fatalf("%q became %q", body, got.Body)
			}
			for name := range sent {
				if _, ok := stored[name]; !ok && name != "_lsn" {
					t.Errorf("%q lost its %q", body, name)
				}
			}
		}
		sane(t, got)
	})
}

// A rule that an administrator adds may be refused, but whatever it does to a
// request is what its effect says.
func FuzzFault(f *testing.F) {
	for _, rule := range []string{
		`{"name":"a","match":{"kind":"read|fe*","id":"a"},"when":{"after":1,"times":2,"probability":0.5,"seed":1},"effect":{"status":429,"substatus":3200}}`,
		`{"name":"a","effect":{"before":"1h","jitter":"1h","feedDelay":"1h","stale":"1h","clockJump":"99999h","touch":true}}`,
		`{"name":"a","effect":{"reply":"cut","split":true,"hold":"1s","header":{"etag":"1"}}}`, `{"name":"a","effect":{"reply":"hang","applied":true}}`,
		`{"name":"a","effect":{"feed":"repeat","status":304,"body":"x"}}`, `{"name":"a","effect":{"feed":"silent"}}`, `null`,
	} {
		f.Add(rule)
	}
	over, cancel := context.WithCancel(f.Context())
	cancel() // nobody waits
	f.Fuzz(func(t *testing.T, rule string) {
		s := newFuzzServer(t)
		got := httptest.NewRecorder()
		s.Admin().ServeHTTP(got, httptest.NewRequest(http.MethodPost, "/faults", strings.NewReader(rule)))
		if got.Code != http.StatusNoContent && got.Code != http.StatusBadRequest {
			t.Errorf("adding %q: %d %s", rule, got.Code, got.Body)
		}
		for _, r := range []*http.Request{
			httptest.NewRequestWithContext(over, http.MethodGet, "http://fuzz.cosmos.test/dbs/db/colls/items/docs/a", http.NoBody),
			httptest.NewRequestWithContext(over, http.MethodGet, "http://fuzz.cosmos.test/dbs/db/colls/items/docs", http.NoBody),
			httptest.NewRequestWithContext(over, http.MethodPost, "http://fuzz.cosmos.test/dbs/db/colls/items/docs", strings.NewReader(`{"id":"a","pk":"p"}`)),
		} {
			r.Header.Set(headerPartitionKey, `["p"]`)
			r.Header.Set("A-IM", "Incremental Feed")
			r.Header.Set("x-ms-documentdb-is-upsert", "true")
			x := s.newExchange(r)
			if err := errors.Join(x.locate(), x.readBody()); err != nil {
				t.Fatal(err)
			}
			if hits := s.faults.Fire(func(name string) string { return s.attribute(x, name) }); len(hits) > 0 {
				suffers(s, x, hits)
			}
		}
	})
}

// suffers serves a request under faults, which may close the connection.
func suffers(s *Server, x *exchange, hits []fault.Hit[Effect]) {
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler { //nolint:errorlint // a panic is no error chain
			panic(p)
		}
	}()
	s.serveFaulty(httptest.NewRecorder(), x, hits)
}

func FuzzPartitionKey(f *testing.F) {
	for _, header := range []string{`["p"]`, `[null]`, `[{}]`, `[1.5,true,"\u00e9\x07\U0001F600\/"]`, `{}`, `[]`} {
		f.Add(header)
	}
	s := newFuzzServer(f)
	f.Fuzz(func(t *testing.T, header string) {
		key, ok := parsePartitionKey(header)
		if ok && len(epk.V2(key...)) != 32*len(key) {
			t.Errorf("%q has the key %s", header, epk.V2(key...))
		}
		sane(t, s.ask(http.MethodGet, "docs/a", "", headerPartitionKey, header))
		// What azcosmos writes for this string is read back as it was.
		if utf8.ValidString(header) {
			key, ok = parsePartitionKey("[" + strconv.QuoteToASCII(header) + "]")
			if !ok || !key.equal(partitionKey{epk.String(header)}) {
				t.Errorf("%q was read as %v", header, key)
			}
		}
	})
}

// FuzzQuery asks the gateway, in one partition key and across all, and for the
// plan, about an item that is fuzzed, too.
func FuzzQuery(f *testing.F) {
	const item = `{"id":"b","pk":"p","n":-0.5e-7,"s":"a\ud83d\ude00","l":[[],{"x":null}],"o":{"":{"k":[true]}}}`
	for _, query := range []string{
		"SELECT * FROM c", "SELECT DISTINCT TOP 2 c.n, c.l FROM c WHERE c.pk = 'p' ORDER BY c.s DESC, c.n", "SELECT VALUE COUNT(1)",
		"SELECT SUM(c.n) AS s, MIN(c.s), AVG(c.n) FROM c", "SELECT VALUE c.o[''].k[0] FROM c OFFSET 1 LIMIT 1",
		"SELECT VALUE [RIGHT(c.s, 1), TOSTRING(c), c.n | 0, c.s LIKE '_[^a]', ARRAY_SLICE(c.l, -1)] FROM c",
	} {
		f.Add(query, item)
	}
	f.Fuzz(func(t *testing.T, query, item string) {
		s := newFuzzServer(t)
		sane(t, s.ask(http.MethodPost, "docs", item))
		body := string(encode(map[string]string{"query": query}))
		ask := func(headers ...string) *httptest.ResponseRecorder {
			return s.ask(http.MethodPost, "docs", body, append([]string{
				"Content-Type", "application/query+json", "x-ms-documentdb-query-enablecrosspartition", "True",
				"x-ms-max-item-count", "1", "x-ms-cosmos-populateindexmetrics", "true",
			}, headers...)...)
		}
		sane(t, ask("x-ms-cosmos-is-query-plan-request", "True"))
		sane(t, ask(headerPartitionKey, ""))
		token := ""
		for range 5 {
			got := ask("x-ms-continuation", token)
			sane(t, got)
			if token = got.Header().Get("x-ms-continuation"); token == "" {
				return
			}
		}
		t.Errorf("%q of two items does not end", query)
	})
}

func FuzzContinuation(f *testing.F) {
	s := newFuzzServer(f)
	if _, err := s.Split("db", "items", "0", SplitOptions{}); err != nil {
		f.Fatal(err)
	}
	for i := range 5 {
		s.ask(http.MethodPost, "docs", `{"id":"`+strconv.Itoa(i)+`","pk":"p","n":`+strconv.Itoa(i)+`}`)
	}
	query := `{"query":"SELECT * FROM c ORDER BY c.n DESC, c.id"}`
	headers := []string{"Content-Type", "application/query+json", "x-ms-max-item-count", "2"}
	token := s.ask(http.MethodPost, "docs", query, headers...).Header().Get("x-ms-continuation")
	genuine, ok := parseContinuation(token)
	if !ok {
		f.Fatalf("the emulator's token %q is malformed", token)
	}
	question := genuine.Query
	list := []string{headerPartitionKey, "", "x-ms-max-item-count", "1"}
	genuine, ok = parseContinuation(s.ask(http.MethodGet, "docs", "", list...).Header().Get("x-ms-continuation"))
	if !ok || genuine.Max == "" {
		f.Fatal("the emulator's token for a list has no segment")
	}
	listQuestion := genuine.Query
	f.Add(token, "0:-1#1", "100")
	f.Add((&continuation{Rows: 1 << 30, Skipped: 5}).String(), "0:1#2#3=4,1:-1#5", "-1")
	f.Add((&continuation{Min: "FFFF", Max: "0"}).String(), "", "1")
	f.Add((&continuation{Min: "10", Max: "10G", Serial: 2}).String(), "", "1")
	f.Add("e30", "", "99999999999999999999")
	f.Fuzz(func(t *testing.T, token, session, size string) {
		if from, ok := parseContinuation(token); ok {
			// A forged token that fits the question must do no harm either.
			from.Query = listQuestion
			sane(t, s.ask(http.MethodGet, "docs", "", append(list, "x-ms-continuation", from.String())...))
			from.Query = question
			token = from.String()
		}
		sane(t, s.ask(http.MethodPost, "docs", query, append(headers[:2:2], "x-ms-max-item-count", size,
			"x-ms-continuation", token, "x-ms-session-token", session)...))
	})
}
