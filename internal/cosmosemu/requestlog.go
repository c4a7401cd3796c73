package cosmosemu

import (
	"strings"
	"time"

	"opfeed/internal/fault"
)

// keptRequests is how many requests the log keeps unless Options say.
const keptRequests = 1000

// longestKept bounds each text of an entry, so that clients cannot let the log
// take any memory.
const longestKept = 4 << 10

// RequestEntry is a request as it was answered. Those that were refused at the
// door are here, too. Texts end after 4 KB.
type RequestEntry struct {
	// Time is when the request came, by the machine's clock, Duration how long
	// its answer took to begin.
	Time     time.Time      `json:"time"`
	Duration fault.Duration `json:"duration"`
	// Agent is the first word of the User-Agent, up to a blank or a slash.
	Agent  string `json:"agent"`
	Method string `json:"method"`
	// Kind is that of Charge, but in place of metadata there are account,
	// database, container, ranges, offers and plan (of a query); metadata is what
	// is nothing of all that.
	Kind      string `json:"kind"`
	Database  string `json:"database,omitempty"`
	Container string `json:"container,omitempty"`
	// Range is the partition key ranges that were asked, joined by commas, or
	// the one that was asked for in vain.
	Range string `json:"range,omitempty"`
	// Key is the header with the partition key, as it was sent.
	Key string `json:"key,omitempty"`
	// ID is the item's, from the path or the body; a batch's are joined by
	// commas.
	ID string `json:"id,omitempty"`
	// Status is 0 if no answer was sent.
	Status    int `json:"status"`
	Substatus int `json:"substatus,omitempty"`
	// RequestUnits are what the request has cost, told to the client or not.
	RequestUnits float64 `json:"requestUnits"`
	// BytesIn and BytesOut are the sizes of the bodies, arrived or not.
	BytesIn  int `json:"bytesIn"`
	BytesOut int `json:"bytesOut"`
	// Faults are the names of the rules that hit the request.
	Faults []string `json:"faults,omitempty"`
}

// Requests returns the last requests, oldest first, as many as Options.LogRequests
// says, and how many there have been.
func (s *Server) Requests() (kept []RequestEntry, total int) { return s.requests.Entries() }

// outcome is how a request ended.
type outcome struct{ status, substatus, bytes int }

// record notes a request in the statistics and in the log, right before its
// answer: whoever has the answer finds the request there.
func (s *Server) record(x *exchange, o outcome) {
	s.stats.add(x)
	s.requests.Add(RequestEntry{
		Time: x.received, Duration: fault.Duration(time.Since(x.received)),
		Agent: x.agent(), Method: clip(x.request.Method, longestKept), Kind: x.kind,
		Database: clip(x.database, longestKept), Container: clip(x.container, longestKept),
		Range: clip(x.ranges(), longestKept), Key: clip(x.header(headerPartitionKey), longestKept), ID: clip(x.itemID(), longestKept),
		Status: o.status, Substatus: o.substatus, RequestUnits: x.charge,
		BytesIn: len(x.body), BytesOut: o.bytes, Faults: x.faults,
	})
}

// ranges are the partition key ranges that were visited, or the one named.
func (x *exchange) ranges() string {
	if len(x.sessions) == 0 {
		return x.namedRange()
	}
	list, _, _ := strings.Cut(x.sessions[0], ":")
	for _, token := range x.sessions[1:] {
		id, _, _ := strings.Cut(token, ":")
		list += "," + id
	}
	return list
}

// namedRange is the id in the header, without the container's in front of it.
func (x *exchange) namedRange() string {
	id := x.header("x-ms-documentdb-partitionkeyrangeid")
	return id[strings.LastIndexByte(id, ',')+1:]
}
