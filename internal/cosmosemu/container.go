package cosmosemu

import (
	"encoding/binary"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

type container struct {
	account  *Server
	database *database
	ridBytes [8]byte
	rid      string

	definition atomic.Pointer[definition]
	serials    atomic.Uint64         // of items, see slot
	offer      atomic.Pointer[offer] // nil: it shares the database's

	mu       sync.Mutex              // held to change the routing
	routing  atomic.Pointer[routing] // see routes
	rangeIDs int                     // given so far
}

// addContainer returns the container, and whether it is new: then it has so
// many ranges. With the hash of version 1, whose keys are not known here, it has
// one. Without throughput it shares the database's; if that has none either, it
// gets the least.
func (db *database) addContainer(account *Server, d *definition, ranges int, given *throughput) (*container, bool) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if c := db.containers[d.id]; c != nil {
		return c, false
	}
	c := &container{account: account, database: db}
	copy(c.ridBytes[:4], db.ridBytes[:])
	// The top bit tells a container's id from a user's.
	binary.BigEndian.PutUint32(c.ridBytes[4:], 1<<31|account.rids.Add(1))
	c.rid = ridOf(c.ridBytes[:])
	c.define(d)
	if d.version == 1 {
		ranges = 1
	}
	c.routing.Store(newRouting(c, ranges))
	if given == nil && db.offer.Load() == nil {
		given = &throughput{Manual: leastManual}
	}
	c.offer.Store(account.newOffer(c.self(), c.rid, given))
	db.containers[d.id] = c
	return c, true
}

// define puts a definition, old or new, into force.
func (c *container) define(d *definition) {
	d.etag, d.ts = c.account.newETag(), c.account.clock.now().Unix()
	c.definition.Store(d)
}

func (c *container) self() string { return c.database.self() + "colls/" + c.rid + "/" }

func (c *container) link() string {
	return "dbs/" + c.database.id + "/colls/" + c.definition.Load().id
}

func (s *Server) container(x *exchange) (*container, error) {
	db, err := s.database(x)
	if err != nil {
		return nil, err
	}
	db.mu.RLock()
	defer db.mu.RUnlock()
	if c := db.containers[x.container]; c != nil {
		if x.resource != resourceContainer {
			x.owner = c
		}
		return c, nil
	}
	f := refuse(http.StatusNotFound, "the container %q does not exist", x.container)
	if x.resource != resourceContainer {
		f = f.because(substatusOwnerNotFound)
	}
	return nil, f
}

func (s *Server) createContainer(x *exchange) (*reply, error) {
	db, err := s.database(x)
	if err != nil {
		return nil, err
	}
	d, err := parseDefinition(x.body)
	if err != nil {
		return nil, err
	}
	given, err := x.givenThroughput()
	if err != nil {
		return nil, err
	}
	c, created := db.addContainer(s, d, given.ranges(), given)
	if !created {
		return nil, refuse(http.StatusConflict, "the container %q exists", d.id)
	}
	return s.metadata(http.StatusCreated, c.json(), d.etag), nil
}

func (s *Server) readContainer(x *exchange) (*reply, error) {
	c, err := s.container(x)
	if err != nil {
		return nil, err
	}
	return s.metadata(http.StatusOK, c.json(), c.definition.Load().etag), nil
}

func (s *Server) replaceContainer(x *exchange) (*reply, error) {
	c, err := s.container(x)
	if err != nil {
		return nil, err
	}
	d, err := parseDefinition(x.body)
	if err != nil {
		return nil, err
	}
	old := c.definition.Load()
	if d.id != old.id || !slices.EqualFunc(d.paths, old.paths, slices.Equal) || d.kind != old.kind || d.version != old.version {
		return nil, refuse(http.StatusBadRequest, "the id and the partition key of a container cannot be changed")
	}
	c.database.mu.Lock()
	c.define(d)
	c.database.mu.Unlock()
	return s.metadata(http.StatusOK, c.json(), d.etag), nil
}

func (s *Server) deleteContainer(x *exchange) (*reply, error) {
	if _, err := s.container(x); err != nil {
		return nil, err
	}
	db, err := s.database(x)
	if err != nil {
		return nil, err
	}
	db.mu.Lock()
	delete(db.containers, x.container)
	db.mu.Unlock()
	return s.metadata(http.StatusNoContent, nil, ""), nil
}

func (s *Server) listContainers(x *exchange) (*reply, error) {
	db, err := s.database(x)
	if err != nil {
		return nil, err
	}
	return s.metadataFeed(x, "DocumentCollections", db.rid, db.containerObjects(), nil)
}

func (s *Server) queryContainers(x *exchange) (*reply, error) {
	db, err := s.database(x)
	if err != nil {
		return nil, err
	}
	statement, err := x.parseQuery()
	if err != nil {
		return nil, err
	}
	return s.metadataFeed(x, "DocumentCollections", db.rid, db.containerObjects(), statement)
}

// containerObjects returns all containers, by name.
func (db *database) containerObjects() [][]byte {
	db.mu.RLock()
	list := make([]*container, 0, len(db.containers))
	for _, c := range db.containers {
		list = append(list, c)
	}
	db.mu.RUnlock()
	slices.SortFunc(list, func(a, b *container) int {
		return strings.Compare(a.definition.Load().id, b.definition.Load().id)
	})
	objects := make([][]byte, len(list))
	for i, c := range list {
		objects[i] = c.json()
	}
	return objects
}
