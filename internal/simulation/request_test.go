package simulation_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"opfeed/internal/epk"
)

// request is one to the account, as far as the checks look at it.
type request struct {
	who       *replica // nil: the front end
	left      time.Time
	container string
	kind      string // create, replace, upsert, patch, delete, batch, read, query, feed, ranges, other
	id        string // of the document, from the path
	partition string
	ifMatch   bool
	body      []byte

	rng, from string // of a feed: the range that is named, and the position
	low, high string // of a feed: the part of the range that is asked for, if it says so
}

func parse(who *replica, left time.Time, r *http.Request, body []byte) *request {
	q := &request{who: who, left: left, kind: "other", body: body, ifMatch: r.Header.Get("If-Match") != ""}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/") // dbs/D/colls/C/docs/ID
	if len(parts) < 5 || parts[2] != "colls" {
		return q
	}
	q.container = parts[3]
	if parts[4] == "pkranges" {
		q.kind = "ranges"
	}
	if parts[4] != "docs" {
		return q
	}
	if len(parts) > 5 {
		q.id = strings.Join(parts[5:], "/")
	}
	var key []string
	if json.Unmarshal([]byte(r.Header.Get("x-ms-documentdb-partitionkey")), &key) == nil && len(key) == 1 {
		q.partition = key[0]
	}
	is := func(header string) bool { return strings.EqualFold(r.Header.Get(header), "true") }
	switch r.Method {
	case http.MethodGet:
		q.kind = "read"
		if q.id == "" {
			q.kind = "feed"
			id := r.Header.Get("x-ms-documentdb-partitionkeyrangeid")
			q.rng = id[strings.LastIndexByte(id, ',')+1:]
			q.from = r.Header.Get("If-None-Match")
			q.low, q.high = r.Header.Get("x-ms-start-epk"), r.Header.Get("x-ms-end-epk")
		}
	case http.MethodPost:
		switch {
		case is("x-ms-documentdb-query"), is("x-ms-documentdb-isquery"), is("x-ms-cosmos-is-query-plan-request"):
			q.kind = "query"
		case is("x-ms-cosmos-is-batch-request"):
			q.kind = "batch"
		case is("x-ms-documentdb-is-upsert"):
			q.kind = "upsert"
		default:
			q.kind = "create"
		}
	case http.MethodPut:
		q.kind = "replace"
	case http.MethodPatch:
		q.kind = "patch"
	case http.MethodDelete:
		q.kind = "delete"
	}
	return q
}

func (q *request) writes() bool { return slices.Contains(writes, q.kind) }

// unconditional says whether a write could hit another version than it is for.
func (q *request) unconditional() bool {
	switch q.kind {
	case "replace", "upsert", "patch", "delete":
		return !q.ifMatch
	case "batch":
		var operations []struct {
			Type    string `json:"operationType"`
			IfMatch string `json:"ifMatch"`
		}
		if json.Unmarshal(q.body, &operations) != nil {
			return false
		}
		for _, o := range operations {
			if o.IfMatch == "" && o.Type != "Create" && o.Type != "Read" {
				return true
			}
		}
	}
	return false
}

// key is where the request's partition is in the key space.
func (q *request) key() string { return epk.Of(q.partition) }

// document is one that was stored: decoded, with the LSN of its version.
type document struct {
	id, partition string
	lsn           int64
	fields        map[string]any // nil: it was deleted
}

// stored gives the documents that a request which succeeded has written, from a
// reply that holds them.
func (q *request) stored(code int, header http.Header, body []byte) []document {
	if code >= 300 || code < 200 || !q.shown() {
		return nil
	}
	lsn := sessionLSN(header.Get("x-ms-session-token"))
	if q.kind != "batch" {
		if q.kind == "delete" {
			return []document{{id: q.id, partition: q.partition, lsn: lsn}}
		}
		var d map[string]any
		if json.Unmarshal(body, &d) != nil {
			return nil
		}
		return []document{{id: text(d, "id"), partition: q.partition, lsn: lsn, fields: d}}
	}
	var results []struct {
		Status int             `json:"statusCode"`
		Body   json.RawMessage `json:"resourceBody"`
	}
	var sent []struct {
		ID string `json:"id"`
	}
	if code == http.StatusMultiStatus || json.Unmarshal(body, &results) != nil || json.Unmarshal(q.body, &sent) != nil {
		return nil
	}
	var out []document
	for i, r := range results {
		switch {
		case r.Status >= 300:
			return nil
		case r.Status == http.StatusNoContent:
			out = append(out, document{id: sent[i].ID, partition: q.partition, lsn: lsn})
		default:
			var d map[string]any
			if json.Unmarshal(r.Body, &d) == nil {
				out = append(out, document{id: text(d, "id"), partition: q.partition, lsn: lsn, fields: d})
			}
		}
	}
	return out
}

// shown says whether the checks want to see what a request has stored.
func (q *request) shown() bool {
	return q.writes() && (q.container == resources || q.container == leaseBox)
}

// minimal is the reply as a client wants it that did not ask for the documents.
func (q *request) minimal(body []byte) []byte {
	if q.kind != "batch" {
		return nil
	}
	var results []map[string]json.RawMessage
	if json.Unmarshal(body, &results) != nil {
		return body
	}
	for _, r := range results {
		delete(r, "resourceBody")
	}
	out, err := json.Marshal(results)
	if err != nil {
		return body
	}
	return out
}

// sessionLSN reads "range:-1#lsn".
func sessionLSN(token string) int64 {
	n, _ := strconv.ParseInt(token[strings.LastIndexByte(token, '#')+1:], 10, 64)
	return n
}

// position reads a raw ETag of the feed; 0 is none.
func position(continuation string) int64 {
	n, _ := strconv.ParseInt(strings.Trim(continuation, `"`), 10, 64)
	return n
}

// text is a property that should be a string; "" when it is none.
func text(d map[string]any, path ...string) string {
	for i, name := range path {
		if i == len(path)-1 {
			s, _ := d[name].(string)
			return s
		}
		d, _ = d[name].(map[string]any)
	}
	return ""
}
