package cosmosemu

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"opfeed/internal/fault"
)

// WellKnownKey is the master key of every Cosmos DB emulator: public, and no
// secret.
const WellKnownKey = "C2y6yDjf5/R+ob0N8A7Cgv30VRDJIWEHLM+4QDU5DE2nQ9nDuVTqobD4b8mGGyPMbIZnqyMsEcaGQy67XIw/Jw=="

// Options sets up a Server. The zero value is good.
type Options struct {
	// Key is the account's master key, base64. Default: WellKnownKey.
	Key string
	// Region is the name of the account's only region. Default: Emulated.
	Region string
	// Consistency is the level that the account announces. Default: Session.
	// What is served is always strong: there is one copy.
	Consistency string
	// RequestCharges are the prices of requests. Zero fields have defaults.
	RequestCharges RequestCharges
	// IgnoreEPKHeaders makes the account overlook x-ms-start-epk and
	// x-ms-end-epk, by which clients ask for a part of a range. azcosmos sends
	// neither.
	IgnoreEPKHeaders bool
	// EnforceThroughput refuses with 429 what exceeds the throughput of a
	// container or a database. Default: nothing is ever refused for that.
	EnforceThroughput bool
	// LogRequests is how many requests Requests keeps. Default: 1000; negative:
	// none.
	LogRequests int
}

// Server is one emulated account. It is an http.Handler, safe for concurrent
// use. It starts nothing and owns nothing that must be closed.
type Server struct {
	key      []byte
	keyText  string
	region   string
	level    string // of consistency, as it is announced
	noEPK    bool
	enforced bool
	charges  atomic.Pointer[RequestCharges]
	stats    ledger
	decoded  decodedItems
	etags    atomic.Uint64
	rids     atomic.Uint32
	admin    http.Handler
	started  time.Time
	clock    clock
	faults   *fault.Rules[Effect]
	requests *fault.Log[RequestEntry]

	mu        sync.RWMutex
	databases map[string]*database
}

// New returns an empty account. It panics if the key is not base64, or a price
// is not from 0 to a billion RU.
func New(o Options) *Server {
	if o.Key == "" {
		o.Key = WellKnownKey
	}
	key, err := base64.StdEncoding.DecodeString(o.Key)
	if err != nil {
		panic(fmt.Sprintf("cosmosemu: decode master key: %v", err))
	}
	kept := max(o.LogRequests, 0)
	if o.LogRequests == 0 {
		kept = keptRequests
	}
	s := &Server{
		key:       key,
		keyText:   o.Key,
		region:    cmp.Or(o.Region, "Emulated"),
		level:     cmp.Or(o.Consistency, "Session"),
		noEPK:     o.IgnoreEPKHeaders,
		enforced:  o.EnforceThroughput,
		started:   time.Now(),
		faults:    fault.New[Effect](faultAttributes...),
		requests:  fault.NewLog[RequestEntry](kept),
		databases: map[string]*database{},
	}
	s.SetRequestCharges(o.RequestCharges)
	s.admin = s.newAdmin()
	return s
}

// uptime is a time by the machine's clock: how long the account is there.
func (s *Server) uptime() time.Duration { return time.Since(s.started) }

// Container describes a container to Create.
type Container struct {
	ID string
	// PartitionKey is the path of the partition key, like "/id".
	PartitionKey string
	// DefaultTTL is in seconds: nil turns expiry off, -1 leaves it to the
	// items' own ttl.
	DefaultTTL *int32
	// Ranges is how many physical partitions the container starts with, which
	// share the key space evenly. Their ids count from "0". Default: one for
	// each 10 000 RU/s of its throughput.
	Ranges int
	// Throughput is in RU/s: at least 400, in steps of 100. 0 is 400, or the
	// database's throughput if it has its own.
	Throughput int
	// AutoscaleMax is in RU/s: at least 1000, in steps of 1000. It excludes
	// Throughput. 0: no autoscale.
	AutoscaleMax int
}

// Create makes a database, unless it exists, and containers in it, without a
// request. A container that exists already is an error.
func (s *Server) Create(database string, containers ...Container) error {
	if err := checkResourceID(database); err != nil {
		return fmt.Errorf("create database %q: %w", database, err)
	}
	db, _ := s.addDatabase(database, nil)
	for _, c := range containers {
		definition := &definition{id: c.ID, defaultTTL: c.DefaultTTL}
		if err := definition.setPaths([]string{c.PartitionKey}); err != nil {
			return fmt.Errorf("create container %q: %w", c.ID, err)
		}
		if err := definition.check(); err != nil {
			return fmt.Errorf("create container %q: %w", c.ID, err)
		}
		if c.Ranges < 0 || c.Ranges > mostRanges {
			return fmt.Errorf("create container %q: %d ranges: it must be at most %d", c.ID, c.Ranges, mostRanges)
		}
		given, err := newThroughput(c.Throughput, c.AutoscaleMax)
		if err != nil {
			return fmt.Errorf("create container %q: %w", c.ID, err)
		}
		if _, created := db.addContainer(s, definition, cmp.Or(c.Ranges, given.ranges()), given); !created {
			return fmt.Errorf("create container %q: it exists", c.ID)
		}
	}
	return nil
}

// find returns a container for a caller within the process.
func (s *Server) find(database, container string) (*container, error) {
	x := &exchange{target: target{resource: resourceItems, database: database, container: container}}
	return s.container(x)
}

// ServeHTTP answers one request. Every refusal has a JSON body with code and
// message. What Admin serves is at /_emulator/, too.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, ownPath+"/") {
		http.StripPrefix(ownPath, s.admin).ServeHTTP(w, r)
		return
	}
	x := s.newExchange(r)
	if err := s.receive(x); err != nil {
		s.answer(w, x, refusal(err))
		return
	}
	if hits := s.faults.Fire(func(name string) string { return s.attribute(x, name) }); len(hits) > 0 {
		s.serveFaulty(w, x, hits)
		return
	}
	s.answer(w, x, s.apply(x))
}

func (s *Server) answer(w http.ResponseWriter, x *exchange, r *reply) {
	s.record(x, outcome{r.status, r.substatus, len(r.body)})
	r.send(w, x)
}

// receive takes a request through its first stages: where does it go, who asks,
// what does it say.
func (s *Server) receive(x *exchange) error {
	if err := x.locate(); err != nil {
		return err
	}
	if err := s.authenticate(x); err != nil {
		return err
	}
	return x.readBody()
}

// apply is the last stage: what is the answer.
func (s *Server) apply(x *exchange) *reply {
	r, err := s.dispatch(x)
	if err != nil {
		r = refusal(err)
	}
	x.settle(r)
	x.charge = r.charge
	return r
}
