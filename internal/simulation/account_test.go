package simulation_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"opfeed/internal/cosmosemu"
	"opfeed/internal/fault"
)

// account is the emulated account with a tap: it serves one request at a time,
// and each is looked at before anything happens to its reply.
type account struct {
	server  *cosmosemu.Server
	weather *weather
	checks  *checks

	mu   sync.Mutex // one request at a time: never held while one is delayed
	live []physical // the ranges of the monitored container

	started time.Time // when a replica last started
}

// physical is one range of the monitored container.
type physical struct {
	ID  string `json:"id"`
	Min string `json:"minInclusive"`
	Max string `json:"maxExclusive"`
}

const (
	database  = "opfeed"
	resources = "Resources"
	leaseBox  = "Leases"
	agent     = "opfeed"
)

func newAccount(p plan, s *story) (*account, error) {
	a := &account{
		// Half of the accounts give the changes of the whole partition to who asks for
		// a part: that the service does not is not proven.
		server:  cosmosemu.New(cosmosemu.Options{LogRequests: -1, IgnoreEPKHeaders: p.seed%2 == 0}),
		weather: newWeather(p.seed),
	}
	a.checks = newChecks(s, a)
	off, lock := int32(-1), int32(10)
	if err := a.server.Create(database,
		cosmosemu.Container{ID: resources, PartitionKey: "/partitionKey", DefaultTTL: &off, Ranges: p.ranges},
		cosmosemu.Container{ID: leaseBox, PartitionKey: "/id", DefaultTTL: &off},
		cosmosemu.Container{ID: "Locks", PartitionKey: "/id", DefaultTTL: &lock},
		cosmosemu.Container{ID: "Billing", PartitionKey: "/subscriptionId"},
		cosmosemu.Container{ID: "PartitionKeys", PartitionKey: "/partitionKey", DefaultTTL: &off},
	); err != nil {
		return nil, err
	}
	for _, rule := range accountRules(p.seed) {
		if err := a.server.Faults().Add(rule); err != nil {
			return nil, err
		}
	}
	return a, a.readRanges()
}

// handler serves the requests of one replica, or of the front end (nil).
func (a *account) handler(who *replica) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		q := parse(who, leftAt(r.Context()), r, body)
		e := effectOf(r.Context())
		if e.agent != "" {
			r.Header.Set("User-Agent", e.agent)
		}
		fault.Serve(w, r, e.Effect, fault.Answers{
			Apply: func(w http.ResponseWriter, r *http.Request) { a.apply(w, r, q, e.agent) },
			Refuse: func(w http.ResponseWriter, f fault.Effect) {
				w.Header().Set("Content-Type", "application/json")
				w.Header().Set("x-ms-request-charge", "1")
				if e.substatus != 0 {
					w.Header().Set("x-ms-substatus", strconv.Itoa(e.substatus))
				}
				w.WriteHeader(f.Status)
				_, _ = fmt.Fprintf(w, `{"code":"%d","message":"a fault of this emulated account"}`, f.Status)
			},
			Ended: func(fault.End) {},
		})
	})
}

// apply lets the account carry a request out, and looks at what it did.
func (a *account) apply(w http.ResponseWriter, r *http.Request, q *request, lie string) {
	minimal := q.shown() && strings.EqualFold(r.Header.Get("Prefer"), "return=minimal")
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(bytes.NewReader(q.body))
	if minimal {
		r.Header.Del("Prefer") // the checks want to see what was stored
	}
	answer := httptest.NewRecorder()
	a.mu.Lock()
	a.server.ServeHTTP(answer, r)
	body := answer.Body.Bytes()
	a.checks.applied(q, answer.Code, answer.Header(), body, lie)
	a.mu.Unlock()
	if minimal && answer.Code < 300 {
		body = q.minimal(body)
	}
	h := w.Header()
	maps.Copy(h, answer.Header())
	h.Del("Content-Length")
	w.WriteHeader(answer.Code)
	_, _ = w.Write(body)
}

// split divides one of the ranges where at, 0 to 1, says, and merge makes one of
// two neighbours. They say what became of it.
func (a *account) split(which int, at float64) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.live) >= 6 {
		return ""
	}
	parent := a.live[which%len(a.live)]
	_ = at
	children, err := a.server.Split(database, resources, parent.ID, cosmosemu.SplitOptions{})
	if err != nil {
		return ""
	}
	if err := a.readRangesLocked(); err != nil {
		return err.Error()
	}
	a.checks.reshaped()
	return fmt.Sprintf("range %s is split into %s and %s", parent.ID, children[0], children[1])
}

func (a *account) merge(which int) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.live) < 2 {
		return ""
	}
	i := which % (len(a.live) - 1)
	left, right := a.live[i], a.live[i+1]
	id, err := a.server.Merge(database, resources, left.ID, right.ID)
	if err != nil {
		return ""
	}
	if err := a.readRangesLocked(); err != nil {
		return err.Error()
	}
	a.checks.reshaped()
	return fmt.Sprintf("ranges %s and %s are merged to %s", left.ID, right.ID, id)
}

func (a *account) readRanges() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.readRangesLocked()
}

func (a *account) readRangesLocked() error {
	link := "dbs/" + database + "/colls/" + resources
	r := httptest.NewRequest(http.MethodGet, "/"+link+"/pkranges", nil)
	sign(r, "pkranges", link)
	answer := httptest.NewRecorder()
	a.server.ServeHTTP(answer, r)
	var list struct{ PartitionKeyRanges []physical }
	if err := json.Unmarshal(answer.Body.Bytes(), &list); err != nil || answer.Code != http.StatusOK {
		return fmt.Errorf("read ranges: %d %s", answer.Code, answer.Body)
	}
	slices.SortFunc(list.PartitionKeyRanges, func(x, y physical) int { return strings.Compare(x.Min, y.Min) })
	a.live = list.PartitionKeyRanges
	return nil
}

// put stores a document past everybody, as a front end with a fault of its own
// would. It is looked at as every write.
func (a *account) put(partition string, document []byte) error {
	link := "dbs/" + database + "/colls/" + resources
	r := httptest.NewRequest(http.MethodPost, "/"+link+"/docs", bytes.NewReader(document))
	sign(r, "docs", link)
	key, err := json.Marshal([]string{partition})
	if err != nil {
		return err
	}
	r.Header.Set("x-ms-documentdb-partitionkey", string(key))
	answer := httptest.NewRecorder()
	a.apply(answer, r, parse(nil, time.Now(), r, document), "")
	if answer.Code != http.StatusCreated {
		return fmt.Errorf("put document: %d %s", answer.Code, answer.Body)
	}
	return nil
}

func sign(r *http.Request, kind, link string) {
	date := time.Now().UTC().Format(http.TimeFormat)
	key, _ := base64.StdEncoding.DecodeString(cosmosemu.WellKnownKey)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(strings.ToLower(r.Method) + "\n" + kind + "\n" + link + "\n" + strings.ToLower(date) + "\n\n"))
	r.Header.Set("x-ms-date", date)
	r.Header.Set("x-ms-version", "2020-11-05")
	r.Header.Set("Authorization", url.QueryEscape("type=master&ver=1.0&sig="+base64.StdEncoding.EncodeToString(mac.Sum(nil))))
}
