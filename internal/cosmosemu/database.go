package cosmosemu

import (
	"encoding/binary"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

type database struct {
	id       string
	ridBytes [4]byte
	rid      string
	etag     string
	ts       int64
	offer    atomic.Pointer[offer] // nil: its containers have their own
	shared   budget                // of the offer

	mu         sync.RWMutex
	containers map[string]*container
}

// addDatabase returns the database, and whether it is new.
func (s *Server) addDatabase(id string, given *throughput) (*database, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if db := s.databases[id]; db != nil {
		return db, false
	}
	db := &database{id: id, etag: s.newETag(), ts: s.clock.now().Unix(), containers: map[string]*container{}}
	binary.BigEndian.PutUint32(db.ridBytes[:], s.rids.Add(1))
	db.rid = ridOf(db.ridBytes[:])
	db.offer.Store(s.newOffer(db.self(), db.rid, given))
	s.databases[id] = db
	return db, true
}

func (s *Server) database(x *exchange) (*database, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if db := s.databases[x.database]; db != nil {
		return db, nil
	}
	f := refuse(http.StatusNotFound, "the database %q does not exist", x.database)
	if x.resource != resourceDatabase {
		f = f.because(substatusOwnerNotFound)
	}
	return nil, f
}

func (db *database) self() string { return "dbs/" + db.rid + "/" }

func (db *database) json() []byte {
	return encode(map[string]any{
		"id": db.id, "_rid": db.rid, "_self": db.self(), "_etag": `"` + db.etag + `"`, "_ts": db.ts,
		"_colls": "colls/", "_users": "users/",
	})
}

func (s *Server) createDatabase(x *exchange) (*reply, error) {
	body, err := parseObject(x.body)
	if err != nil {
		return nil, err
	}
	raw, _ := body.get("id")
	id, _ := stringValue(raw)
	if err := checkResourceID(id); err != nil {
		return nil, refuse(http.StatusBadRequest, "%v", err)
	}
	given, err := x.givenThroughput()
	if err != nil {
		return nil, err
	}
	db, created := s.addDatabase(id, given)
	if !created {
		return nil, refuse(http.StatusConflict, "the database %q exists", id)
	}
	return s.metadata(http.StatusCreated, db.json(), db.etag), nil
}

func (s *Server) readDatabase(x *exchange) (*reply, error) {
	db, err := s.database(x)
	if err != nil {
		return nil, err
	}
	return s.metadata(http.StatusOK, db.json(), db.etag), nil
}

func (s *Server) deleteDatabase(x *exchange) (*reply, error) {
	db, err := s.database(x)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	delete(s.databases, db.id)
	s.mu.Unlock()
	return s.metadata(http.StatusNoContent, nil, ""), nil
}

func (s *Server) listDatabases(x *exchange) (*reply, error) {
	return s.metadataFeed(x, "Databases", "", s.databaseObjects(), nil)
}

func (s *Server) queryDatabases(x *exchange) (*reply, error) {
	statement, err := x.parseQuery()
	if err != nil {
		return nil, err
	}
	return s.metadataFeed(x, "Databases", "", s.databaseObjects(), statement)
}

// databaseObjects returns all databases, by name.
func (s *Server) databaseObjects() [][]byte {
	s.mu.RLock()
	list := make([]*database, 0, len(s.databases))
	for _, db := range s.databases {
		list = append(list, db)
	}
	s.mu.RUnlock()
	slices.SortFunc(list, func(a, b *database) int { return strings.Compare(a.id, b.id) })
	objects := make([][]byte, len(list))
	for i, db := range list {
		objects[i] = db.json()
	}
	return objects
}

// metadata answers a request about a database or a container.
func (s *Server) metadata(status int, body []byte, etag string) *reply {
	r := &reply{status: status, body: body, charge: s.prices().Metadata}
	if etag != "" {
		r.set("etag", `"`+etag+`"`)
	}
	return r
}

func parseObject(body []byte) (members, error) {
	if _, err := checkJSON(body); err != nil {
		return nil, refuse(http.StatusBadRequest, "%v", err)
	}
	list, ok := splitObject(body)
	if !ok {
		return nil, refuse(http.StatusBadRequest, "the body must be a JSON object")
	}
	return list, nil
}
