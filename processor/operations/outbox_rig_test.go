package operations

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"opfeed/internal/inproc"
	"opfeed/processor/dispatch"
	"opfeed/processor/notification"
)

// armURI is where ARM wants to be told; what must never be logged is in it.
const (
	armToken = "marker-of-a-token"
	armURI   = "https://management.azure.com/notify/" + armToken + "?api-version=1&asyncNotificationToken=" + armToken
)

// arm records what it is told, and answers as it is told to.
type arm struct {
	mu     sync.Mutex
	posts  []post
	answer http.HandlerFunc // nil: 202
}

type post struct {
	url  string
	body string
	at   time.Time
}

func (a *arm) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	raw, _ := io.ReadAll(req.Body)
	a.mu.Lock()
	a.posts = append(a.posts, post{url: "https://" + req.Host + req.URL.RequestURI(), body: string(raw), at: time.Now()})
	answer := a.answer
	a.mu.Unlock()
	if answer == nil {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	answer(w, req)
}

func (a *arm) set(answer http.HandlerFunc) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answer = answer
}

func (a *arm) told() []post {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.posts)
}

// status is that of the notification.
func (p post) status(t *testing.T) string {
	t.Helper()
	var body struct{ Status string }
	if err := json.Unmarshal([]byte(p.body), &body); err != nil {
		t.Errorf("%v in %s", err, p.body)
	}
	return body.Status
}

func answers(status int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
	}
}

func hangs(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() }

// newOutboxRig is a rig whose handler tells a simulated ARM.
func newOutboxRig(t *testing.T, change ...func(*Config, *Deps)) (*rig, *arm) {
	t.Helper()
	a := &arm{}
	r := newRig(t, append([]func(*Config, *Deps){func(_ *Config, deps *Deps) {
		s, err := notification.New(notification.DefaultConfig(), notification.Deps{Metrics: deps.Metrics, Transport: inproc.New(a)})
		if err != nil {
			t.Fatal(err)
		}
		deps.Notify = s
	}}, change...)...)
	return r, a
}

// restart replaces the handler by one that knows nothing.
func (r *rig) restart() {
	r.t.Helper()
	deps := r.h.deps
	deps.Metrics = nil
	h, err := New(r.h.cfg, deps)
	if err != nil {
		r.t.Fatal(err)
	}
	h.metrics = r.h.metrics
	r.h = h
}

// endedDoc is an operation that ended now, as status, and is owed to ARM.
func endedDoc(id, request, status string) doc {
	d := with(newestOperationDoc(id, request), status)
	props(d)[fieldNotify] = armURI
	return d
}

// fed is the change that the feed brings of a document of sub.
func (r *rig) fed(id string) dispatch.Change {
	r.t.Helper()
	raw := r.get(id)
	return dispatch.Change{Key: key(id), Document: raw, ETag: etagIn(raw), Source: dispatch.Feed}
}

func (r *rig) settled(why string) float64 {
	r.t.Helper()
	return r.metric("opfeed_notifications_settled_total", "why="+why)
}

// wantNoToken fails the test if the log holds any of a URI but its host.
func (r *rig) wantNoToken() {
	r.t.Helper()
	for _, e := range r.logs.All() {
		line, _ := json.Marshal(e.ContextMap())
		if strings.Contains(e.Message+string(line), armToken) {
			r.t.Errorf("the log shows the URI: %s %s", e.Message, line)
		}
	}
}
