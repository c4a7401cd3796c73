package feed

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/internal/inproc"
)

// service answers what azcosmos asks for when it reads a change feed, and no
// more. It can split at any moment and give replies that no good service gives.
type service struct {
	mu       sync.Mutex
	ranges   []physical
	changes  []change
	requests []http.Header // of change feed reads
	noETag   bool
	strays   int // requests for something else that carry a change feed's header
	status   int // for change feed reads, when not 0
}

type physical struct{ id, min, max string }

type change struct {
	lsn  int64
	key  string // effective partition key
	body string
}

func (s *service) add(key, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	lsn := int64(len(s.changes) + 1)
	s.changes = append(s.changes, change{lsn, key, strings.ReplaceAll(fmt.Sprintf(format, args...), "LSN", strconv.FormatInt(lsn, 10))})
}

func (s *service) split(ranges ...physical) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ranges = ranges
}

func (s *service) last() http.Header {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests[len(s.requests)-1]
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := w.Header()
	h.Set("x-ms-request-charge", "1")
	h.Set("x-ms-activity-id", "a")
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	if !strings.HasSuffix(r.URL.Path, "/docs") && r.Header.Get("If-Modified-Since") != "" {
		s.strays++
	}
	switch path := r.URL.Path; {
	case path == "/" || path == "":
		endpoint := []map[string]string{{"name": "here", "databaseAccountEndpoint": "http://" + r.Host + "/"}}
		json.NewEncoder(w).Encode(map[string]any{"writableLocations": endpoint, "readableLocations": endpoint})
	case strings.HasSuffix(path, "/pkranges"):
		s.servePartitions(w, r)
	case strings.HasSuffix(path, "/docs"):
		s.serveFeed(w, r)
	default:
		fmt.Fprint(w, `{"id":"c","_rid":"V4lVAMl0wuQ=","partitionKey":{"paths":["/pk"],"kind":"Hash","version":2}}`)
	}
}

func (s *service) servePartitions(w http.ResponseWriter, r *http.Request) {
	etag := fmt.Sprintf("%q", s.ranges[len(s.ranges)-1].id)
	w.Header().Set("etag", etag)
	if r.Header.Get("If-None-Match") == etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	var list []map[string]any
	for _, p := range s.ranges {
		list = append(list, map[string]any{"id": p.id, "minInclusive": p.min, "maxExclusive": p.max})
	}
	json.NewEncoder(w).Encode(map[string]any{"_rid": "V4lVAMl0wuQ=", "PartitionKeyRanges": list, "_count": len(list)})
}

func (s *service) serveFeed(w http.ResponseWriter, r *http.Request) {
	s.requests = append(s.requests, r.Header.Clone())
	if s.status != 0 {
		w.WriteHeader(s.status)
		return
	}
	i := 0
	for i < len(s.ranges) && s.ranges[i].id != r.Header.Get("x-ms-documentdb-partitionkeyrangeid") {
		i++
	}
	if i == len(s.ranges) {
		w.Header().Set("x-ms-substatus", "1002")
		w.WriteHeader(http.StatusGone)
		return
	}
	after := int64(0)
	switch position := r.Header.Get("If-None-Match"); position {
	case "":
	case Now:
		after = int64(len(s.changes))
	default:
		after, _ = strconv.ParseInt(strings.Trim(position, `"`), 10, 64)
	}
	limit, _ := strconv.Atoi(r.Header.Get("x-ms-max-item-count"))
	end := int64(len(s.changes))
	var documents []json.RawMessage
	for _, c := range s.changes {
		if c.lsn <= after || c.key < s.ranges[i].min || c.key >= s.ranges[i].max {
			continue
		}
		if limit > 0 && len(documents) == limit {
			break
		}
		documents = append(documents, json.RawMessage(c.body))
		end = c.lsn
	}
	if !s.noETag {
		w.Header().Set("etag", fmt.Sprintf("%q", strconv.FormatInt(end, 10)))
	}
	w.Header().Set("x-ms-session-token", fmt.Sprintf("%s:-1#%d#1=2", s.ranges[i].id, len(s.changes)))
	if len(documents) == 0 {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	json.NewEncoder(w).Encode(map[string]any{"_rid": "V4lVAMl0wuQ=", "Documents": documents, "_count": len(documents)})
}

// hosts makes the host of every client another: azcosmos caches by host for the
// whole process.
var hosts atomic.Int64

func containerOf(t *testing.T, h http.Handler) *azcosmos.ContainerClient {
	t.Helper()
	key, err := azcosmos.NewKeyCredential("a2V5")
	if err != nil {
		t.Fatal(err)
	}
	options := &azcosmos.ClientOptions{}
	options.Transport = inproc.New(h)
	options.Telemetry.ApplicationID = "test"
	options.Retry.MaxRetries = -1
	name := strings.ToLower(strings.ReplaceAll(t.Name(), "/", "-"))
	client, err := azcosmos.NewClientWithKey(fmt.Sprintf("http://%s-%d.cosmos.test", name, hosts.Add(1)), key, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	container, err := client.NewContainer("db", "c")
	if err != nil {
		t.Fatal(err)
	}
	return container
}

var (
	whole0 = []physical{{"0", "", "FF"}}
	full   = azcosmos.FeedRange{MinInclusive: "", MaxExclusive: "FF"}
)
