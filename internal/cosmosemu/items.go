package cosmosemu

import (
	"errors"
	"net/http"
	"strings"
)

// writeItems is POST to a container's items, but for queries.
func (s *Server) writeItems(x *exchange) (*reply, error) {
	if x.kind == kindBatch {
		return s.runBatch(x)
	}
	return s.writeItem(x)
}

func (s *Server) writeItem(x *exchange) (*reply, error) {
	c, err := s.container(x)
	if err != nil {
		return nil, err
	}
	d := c.definition.Load()
	key, err := x.wholeKey(d)
	if err != nil {
		return nil, err
	}
	o := &operation{kind: x.kind, id: x.item, ifMatch: x.header("If-Match"), ifNoneMatch: x.header("If-None-Match")}
	switch x.kind {
	case kindPatch:
		o.patch, err = parsePatch(d, x.body, x.now)
	case kindDelete:
	default:
		o.item, err = d.parseItem(x.body)
	}
	if err != nil {
		return nil, err
	}
	if err := o.checkBody(key); err != nil {
		return nil, err
	}
	var done result
	epk := d.epk(key)
	p := c.routes(x.now).of(epk)
	if err := x.admit(p); err != nil {
		return nil, err
	}
	x.id = o.id
	if err := x.touch(p, key, epk, o); err != nil {
		return nil, err
	}
	lsn, err := p.commit(x.now, func(tx *transaction) (err error) {
		done, err = o.run(tx, key, epk)
		return err
	})
	x.visit(p, lsn)
	if err != nil {
		return nil, err
	}
	r := &reply{status: done.status, charge: done.charge}
	if done.document != nil {
		r.set("etag", done.document.etag)
		if !x.minimal() {
			r.body = done.document.raw()
		}
	}
	return r, nil
}

// minimal reports whether the client does not want to see what it wrote.
func (x *exchange) minimal() bool {
	return strings.Contains(strings.ToLower(x.header("Prefer")), "return=minimal")
}

func (s *Server) readItem(x *exchange) (*reply, error) {
	c, err := s.container(x)
	if err != nil {
		return nil, err
	}
	d := c.definition.Load()
	key, err := x.wholeKey(d)
	if err != nil {
		return nil, err
	}
	p := c.routes(x.now).of(d.epk(key))
	if err := x.admit(p); err != nil {
		return nil, err
	}
	found, lsn, err := x.read(p, itemKey{key.key(), x.item})
	if err != nil {
		return nil, err
	}
	if err := x.arrive(p, lsn); err != nil {
		return nil, err
	}
	o := &operation{kind: kindRead, id: x.item, ifMatch: x.header("If-Match"), ifNoneMatch: x.header("If-None-Match")}
	err = o.checkVersion(found)
	if same := (*notModified)(nil); errors.As(err, &same) {
		r := &reply{status: http.StatusNotModified, charge: s.prices().Read}
		r.set("etag", found.etag)
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	r := &reply{status: http.StatusOK, body: found.raw(), charge: s.prices().read(found.size())}
	r.set("etag", found.etag)
	return r, nil
}
