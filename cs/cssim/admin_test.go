package cssim_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"opfeed/cs"
	"opfeed/cs/cssim"
	"opfeed/internal/fault"
)

// An administrator over a socket: a fault is set, hits, is counted, and goes. It
// does not hit the administrator, on either port.
func TestAdmin(t *testing.T) {
	sim := cssim.New(cssim.Options{})
	data, admin := httptest.NewServer(sim), httptest.NewServer(sim.Admin())
	t.Cleanup(data.Close)
	t.Cleanup(admin.Close)
	ask := func(status int, method, url, body string) string {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != status {
			t.Fatalf("%s %s: %d %s %v, want %d", method, url, resp.StatusCode, text, err, status)
		}
		return string(bytes.TrimSpace(text))
	}
	cfg := cs.DefaultConfig()
	cfg.URL, cfg.Timeout = data.URL, 5*time.Second
	client, err := cs.New(cfg, cs.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })

	for _, base := range []string{admin.URL, data.URL + "/_simulator"} {
		ask(201, "POST", base+"/objects", `{"internalId":"`+clusterC+`","state":"ready"}`)
		for rule, want := range map[string]string{
			`{"name":"it","effect":{"status":429,"header":{"Retry-After":"9"}}}`:                    "unavailable for 9s",
			`{"name":"it","effect":{"status":404,"reason":"Unable to find shard for it"}}`:          "of no use",
			`{"name":"it","match":{"cluster":"c","kind":"status"},"effect":{"state":"dreaming"}}`:   "dreaming",
			`{"name":"it","effect":{"reply":"cut"}}`:                                                "unavailable",
			`{"name":"it","effect":{"before":"1ms","null":"dns_ready","skew":"-1h0m0s"}}`:           "of no use",
			`{"name":"it","effect":{"stale":"1000h0m0s"}}`:                                          "not found",
			`{"name":"it","effect":{"flap":true}}`:                                                  "updating",
			`{"name":"it","effect":{"dropStatus":true}}`:                                            "ready",
			`{"name":"it","effect":{"status":502,"header":{"Content-Type":"text/html"},"body":""}}`: "unavailable",
		} {
			ask(204, "POST", base+"/faults", rule)
			if have := askOurs(t.Context(), client, clusterRef, false); have != want {
				t.Errorf("%s: %s, want %s", rule, have, want)
			}
			report := ask(200, "GET", base+"/faults", "")
			if want := "[" + strings.TrimSuffix(rule, "}") + `,"matched":1,"hits":1}]`; report != want {
				t.Errorf("have %s, want %s", report, want)
			}
		}
		ask(204, "DELETE", base+"/faults?name=it", "")
		ask(404, "DELETE", base+"/faults?name=it", "")
		ask(400, "POST", base+"/faults", `{"name":"it","match":{"colour":"red"},"effect":{}}`)
		ask(400, "POST", base+"/faults", `{"name":"it","effect":{"nul":"x"}}`)
		ask(404, "GET", base+"/", "")
		ask(404, "GET", base+"/objects", "")
		if have := askOurs(t.Context(), client, clusterRef, false); have != "ready" {
			t.Errorf("without faults: %s", have)
		}
		if journal := ask(200, "GET", base+"/journal", ""); !strings.Contains(journal, clusterC) {
			t.Errorf("journal: %s", journal)
		}
	}
	var log struct {
		Total    int
		Requests []cssim.Request
	}
	if err := json.Unmarshal([]byte(ask(200, "GET", admin.URL+"/requests", "")), &log); err != nil {
		t.Fatal(err)
	}
	last := log.Requests[len(log.Requests)-1]
	if log.Total != 20 || len(log.Requests) != 20 || last.Path != clusterC+"/status" || last.Agent != "opfeed" || last.Status != 200 {
		t.Errorf("%d requests, %d of them kept; the last one is %+v", log.Total, len(log.Requests), last)
	}
}

// On a fresh connection our client asks once. (Where a reused one is reset
// before it has carried anything back, net/http itself repeats a GET.)
func TestResetOverASocket(t *testing.T) {
	sim := cssim.New(cssim.Options{})
	if err := sim.Faults().Add(cssim.Fault{Name: "it", Effect: plain(fault.Effect{Reply: fault.Reset})}); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	cfg := cs.DefaultConfig()
	cfg.URL = server.URL
	client, err := cs.New(cfg, cs.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if have := askOurs(t.Context(), client, clusterRef, false); have != "unavailable" {
		t.Errorf("have %s", have)
	}
	if _, total := sim.Requests(); total != 1 {
		t.Errorf("%d requests", total)
	}
}

// A client that goes away ends what hangs, even if it has sent something.
func TestHangOverASocket(t *testing.T) {
	sim := cssim.New(cssim.Options{})
	if err := sim.Faults().Add(cssim.Fault{Name: "it", Effect: plain(fault.Effect{Reply: fault.Hang})}); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "POST", server.URL+"/api/aro_hcp/v1alpha1/clusters", strings.NewReader(`{"id":"c"}`))
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := http.DefaultClient.Do(req); err == nil {
		t.Errorf("answered with %s", resp.Status)
	}
	server.Close() // it waits for requests under way
	kept, _ := sim.Requests()
	if len(kept) != 1 || kept[0].Status != 0 || kept[0].Duration <= 0 {
		t.Errorf("logged %+v", kept)
	}
}

func TestRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, cssim.Options{Latency: time.Second})
		w.plant(clusterC, "ready")
		w.fault(cssim.Fault{Name: "slow", Match: fault.Match{"kind": "list"}, Effect: plain(fault.Effect{After: seconds(2)})})
		w.fault(cssim.Fault{Name: "full", Match: fault.Match{"method": "POST"}, Effect: plain(fault.Effect{Status: 503})})
		w.fault(cssim.Fault{Name: "both", Match: fault.Match{"kind": "list"}, Effect: cssim.Effect{DropStatus: true}})
		w.fault(cssim.Fault{Name: "hang", Match: fault.Match{"kind": "status"}, Effect: plain(fault.Effect{Reply: fault.Hang})})
		start := time.Now()
		w.do("GET", clusterC, "")
		w.do("GET", clusterC+"/node_pools?search="+strings.Repeat("x", 3)+"&page=1", "")
		w.do("POST", "/api/aro_hcp/v1alpha1/clusters", "{}")
		w.do("POST", "/api/aro_hcp/v1alpha1/clusters", strings.Repeat("x", 1<<20+1))
		w.do("GET", "/nothing", "")
		w.do("DELETE", clusterC, "")
		w.do("GET", "/_simulator/requests", "")
		askOurs(t.Context(), w.client(), clusterRef, false)
		want := []string{
			"0s GET /api/aro_hcp/v1alpha1/clusters/c raw get 200 1s []",
			"1s GET /api/aro_hcp/v1alpha1/clusters/c/node_pools?search=xxx&page=1 raw list 400 3s [slow both]",
			"4s POST /api/aro_hcp/v1alpha1/clusters raw post 503 1s [full]",
			"5s POST /api/aro_hcp/v1alpha1/clusters raw post 413 0s []",
			"5s GET /nothing raw other 404 1s []",
			"6s DELETE /api/aro_hcp/v1alpha1/clusters/c raw delete 204 1s []",
			"7s GET /api/aro_hcp/v1alpha1/clusters/c/status opfeed status 0 10s [hang]",
		}
		kept, total := w.sim.Requests()
		var have []string
		for _, r := range kept {
			have = append(have, fmt.Sprint(r.Time.Sub(start), " ", r.Method, " ", r.Path, " ", r.Agent, " ", r.Kind, " ",
				r.Status, " ", time.Duration(r.Duration), " ", r.Faults))
		}
		if total != len(want) || !slices.Equal(have, want) {
			t.Errorf("%d requests:\n%s\nwant\n%s", total, strings.Join(have, "\n"), strings.Join(want, "\n"))
		}
	})
}

func TestLogRequests(t *testing.T) {
	for size, want := range map[int]int{0: 1000, 3: 3, -1: 0} {
		sim := cssim.New(cssim.Options{LogRequests: size})
		for range 1003 {
			sim.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", clusterC, nil))
		}
		if kept, _ := sim.Requests(); len(kept) != want {
			t.Errorf("LogRequests %d keeps %d, want %d", size, len(kept), want)
		}
	}
}
