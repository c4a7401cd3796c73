package cosmosemu_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/internal/cosmosemu"
	"opfeed/internal/fault"
)

// TestAdmin goes through everything that an administrator can do, in order, on
// a port of its own and on the account's.
func TestAdmin(t *testing.T) {
	for name, mount := range map[string]func(*cosmosemu.Server) (http.Handler, string){
		"own port":       func(s *cosmosemu.Server) (http.Handler, string) { return s.Admin(), "/" },
		"account's port": func(s *cosmosemu.Server) (http.Handler, string) { return s, "/_emulator/" },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.create("p", `{"id":"a","pk":"p"}`)
			handler, at := mount(r.server)
			socket := httptest.NewServer(handler)
			t.Cleanup(socket.Close)
			for _, c := range []struct{ method, path, body, want string }{
				{"GET", "stats", "", `200 {"charges":[{"agent":"test"`},
				{"GET", "requests", "", `200 {"total":2,"requests":[{"time":"`},
				{"GET", "faults", "", `200 []`},
				{"POST", "faults", `{"name":"down","effect":{"status":503,"substatus":7,"stale":"10s"}}`, `204 `},
				{"GET", "faults", "", `200 [{"name":"down","effect":{"status":503,"substatus":7,"stale":"10s"},"matched":0,"hits":0}]`},
				{"POST", "faults", `{"name":"bad","match":{"colour":"red"},"effect":{"feed":"loud"}}`, `400 {"message":"add rule \"bad\": feed is`},
				{"POST", "faults", `{"name":"bad","effect":{"sleep":"1s"}}`, `400 {"message":"read rule: json: unknown field`},
				{"DELETE", "faults?name=none", "", `404 `},
				{"PATCH", "faults", "", `405 `},
				{"GET", "clock", "", `200 {"time":"`},
				{"POST", "clock", `{"advance":"1m30s"}`, `200 {"time":"`},
				{"POST", "clock", `{"advance":"-1s"}`, `400 {"message":"advance clock by -1s`},
				{"POST", "clock", `{"back":"1s"}`, `400 {"message":"json: unknown field`},
				{"GET", "charges", "", `200 {"read":1,`},
				{"PUT", "charges", `{"read":3}`, `200 {"read":3,"create":`},
				{"PUT", "charges", `{"reed":3}`, `400 {"message":"json: unknown field`},
				{"GET", "partitions", "", `200 [{"database":"db","container":"items","id":"0","min":"","max":"FF","lsn":1,"items":1,"parents":[]}]`},
				{"POST", "split", `{"database":"db","container":"items","range":"0","at":"30"}`, `200 {"children":["1","2"]}`},
				{"POST", "split", `{"database":"db","container":"items","range":"0"}`, `400 {"message":"split range \"0\" of db/items: `},
				{"POST", "split", `{"database":"db","container":"items","range":"1","hold":"1h"}`, `200 {"children":["3","4"]}`},
				{"POST", "release", `{"database":"db","container":"items","range":"1"}`, `200 {}`},
				{"POST", "release", `{"database":"db","container":"items","range":"1"}`, `400 {"message":"release range`},
				{"POST", "merge", `{"database":"db","container":"items","left":"4","right":"2"}`, `200 {"id":"5"}`},
				{"POST", "merge", `{"database":"db","container":"items","left":"4","right":"2"}`, `400 {"message":"merge ranges`},
				{"GET", "partitions", "", `200 [{"database":"db","container":"items","id":"3","min":"","max":"18","lsn":3,"items":`},
				{"GET", "", "", `404 {"message":"GET / is not known here"}`},
				{"POST", "stats", "", `404 {"message":"POST /stats is not known here"}`},
			} {
				if have := call(t, c.method, socket.URL+at+c.path, c.body); !strings.HasPrefix(have, c.want) {
					t.Errorf("%s %s: have %s, want %s", c.method, c.path, have, c.want)
				}
			}
			_, err := r.items.ReadItem(t.Context(), pk("p"), "a", nil)
			r.refused(err, http.StatusServiceUnavailable, "7")
			if have := call(t, "DELETE", socket.URL+at+"faults", ""); have != "204 " || len(r.server.Faults().Reports()) != 0 {
				t.Errorf("have %s, %d rules are left", have, len(r.server.Faults().Reports()))
			}
			r.read("p", "a")
		})
	}
}

func call(t *testing.T, method, url, body string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{}
	defer client.CloseIdleConnections()
	response, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.TrimSpace(read(t, response))
	if response.StatusCode != http.StatusNoContent && response.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s %s: the answer is %s", method, url, response.Header.Get("Content-Type"))
	}
	return response.Status[:4] + text
}

// A rule that is added over HTTP makes partitions remember, like one that is
// added in process.
func TestStaleRuleOverHTTP(t *testing.T) {
	r := newRig(t)
	socket := httptest.NewServer(r.server.Admin())
	t.Cleanup(socket.Close)
	r.put("a", 1)
	if have := call(t, "POST", socket.URL+"/faults", `{"name":"lag","when":{"seed":1},"effect":{"stale":"1h"}}`); have != "204 " {
		t.Fatal(have)
	}
	r.put("a", 2)
	if have := r.seen("a", ""); have != [2]string{"1", "1"} {
		t.Errorf("have %v", have)
	}
	if f := r.server.Faults().Reports(); len(f) != 1 || f[0].Effect.Stale == 0 || f[0].Effect.Reply != fault.Reply("") {
		t.Errorf("have %+v", f)
	}
}

// Prices that nothing could be computed with are not put into force.
func TestChargesOverHTTP(t *testing.T) {
	r := newRig(t)
	socket := httptest.NewServer(r.server.Admin())
	t.Cleanup(socket.Close)
	before := r.server.RequestCharges()
	for _, body := range []string{`{"create":1e308,"rewrite":1e308}`, `{"read":-1}`, `{"patch":1.1e9}`} {
		if have := call(t, "PUT", socket.URL+"/charges", body); !strings.HasPrefix(have, "400 ") || r.server.RequestCharges() != before {
			t.Errorf("%s: have %s, in force is %+v", body, have, r.server.RequestCharges())
		}
	}
	if have := call(t, "PUT", socket.URL+"/charges", `{"create":1e9,"rewrite":1e9}`); !strings.HasPrefix(have, "200 ") {
		t.Fatal(have)
	}
	upsert := func(b *azcosmos.TransactionalBatch) { b.UpsertItem([]byte(`{"id":"a","pk":"p"}`), nil) }
	r.statuses(r.batch(upsert, nil), 201)
	r.statuses(r.batch(upsert, nil), 200)
}
