package cosmosemu

import (
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// itemKey identifies an item in its container: an id is unique only among the
// items with the same partition key.
type itemKey struct {
	partition string // see partitionKey.key
	id        string
}

// slot is an item from its creation to its deletion, through all versions.
type slot struct {
	itemKey
	epk     string
	serial  uint64    // order of creation in the container
	current *document // nil once deleted; guarded by the partition's lock
}

// document is one version of an item. It never changes once committed.
type document struct {
	slot       *slot
	owner      *container // nil for what is a database or a container itself
	user       []byte     // what the client sent, without system properties
	ttl        int64      // seconds; -1: never; 0: the container's default
	properties int
	etag       string // with its quotes
	ts         int64
	lsn        int64

	parsed atomic.Pointer[any]   // by value, see decodedItems
	texts  atomic.Pointer[texts] // by mentions
}

var systemProperties = []string{"_rid", "_self", "_etag", "_attachments", "_ts", "_lsn"}

// item is a body that may become a version of an item.
type item struct {
	user       []byte // the object without system properties
	ttl        int64
	properties int
	id         string
	key        partitionKey
}

// parseItem checks the body of a create, an upsert or a replace, and copies
// what it keeps of it.
func (d *definition) parseItem(body []byte) (*item, error) {
	shape, err := checkJSON(body)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "%v", err)
	}
	list, ok := splitObject(body)
	if !ok {
		return nil, refuse(http.StatusBadRequest, "an item must be a JSON object")
	}
	return d.makeItem(list, shape.properties)
}

func (d *definition) makeItem(list members, properties int) (*item, error) {
	list = slices.DeleteFunc(list, func(m member) bool { return slices.Contains(systemProperties, m.name) })
	id, _ := list.get("id")
	it := &item{properties: properties}
	if it.id, _ = stringValue(id); it.id == "" {
		return nil, refuse(http.StatusBadRequest, "an item needs an id, a string that is not empty")
	}
	if len(it.id) > 1023 {
		return nil, refuse(http.StatusBadRequest, "an id has at most 1023 bytes")
	}
	if ttl, ok := list.get("ttl"); ok {
		if it.ttl, ok = wholeValue(ttl); !ok || it.ttl < -1 || it.ttl == 0 || it.ttl > 1<<31-1 {
			return nil, refuse(http.StatusBadRequest, "ttl is %s: it must be -1 or a positive whole number", ttl)
		}
	}
	var err error
	if it.key, err = d.partitionKeyOf(list); err != nil {
		return nil, err
	}
	it.user = list.join()
	if len(it.user) > maxBody {
		return nil, refuse(http.StatusRequestEntityTooLarge, "an item has at most %d bytes", maxBody)
	}
	return it, nil
}

// newDocument makes a version of the item in a slot.
func newDocument(owner *container, s *slot, it *item, etag string, ts int64) *document {
	return &document{
		slot: s, owner: owner, user: it.user, ttl: it.ttl, properties: it.properties, etag: `"` + etag + `"`, ts: ts,
	}
}

// size is what charges are computed from.
func (d *document) size() int { return len(d.user) }

// raw is the item as it is read.
func (d *document) raw() []byte {
	if d.owner == nil {
		return d.user
	}
	const system = 256 // bytes are enough for the system properties
	return d.appendRaw(make([]byte, 0, len(d.user)+system))
}

// appendRaw appends the item as it is read: what the client sent, then the
// system properties. Those are not kept, because they would be a fifth of it.
func (d *document) appendRaw(to []byte) []byte {
	to = append(to, d.user[:len(d.user)-1]...)
	to = append(to, `,"_rid":"`...)
	start := len(to)
	to = d.owner.appendItemRID(to, d.slot.serial)
	rid := to[start:]
	to = append(to, `","_self":"`...)
	to = append(to, d.owner.self()...)
	to = append(to, `docs/`...)
	to = append(to, rid...)
	to = append(to, `/","_etag":`...)
	to = appendString(to, d.etag)
	to = append(to, `,"_attachments":"attachments/","_ts":`...)
	to = strconv.AppendInt(to, d.ts, 10)
	return append(to, '}')
}

// inFeed is the document as the change feed shows it.
func (d *document) inFeed(to []byte) []byte {
	to = d.appendRaw(to)
	to = append(to[:len(to)-1], `,"_lsn":`...)
	to = strconv.AppendInt(to, d.lsn, 10)
	return append(to, '}')
}

// ridOf encodes a resource id: a slash would not fit into a link.
func ridOf(parts ...[]byte) string {
	return strings.ReplaceAll(base64.StdEncoding.EncodeToString(slices.Concat(parts...)), "/", "-")
}

// appendItemRID appends an item's resource id, made of 16 bytes: 4 of the
// database, 4 of the container, 8 of the item. It is ridOf without garbage.
func (c *container) appendItemRID(to []byte, serial uint64) []byte {
	var id [16]byte
	copy(id[:], c.ridBytes[:])
	binary.LittleEndian.PutUint64(id[8:], serial)
	start := len(to)
	to = base64.StdEncoding.AppendEncode(to, id[:])
	for i := start; i < len(to); i++ {
		if to[i] == '/' {
			to[i] = '-'
		}
	}
	return to
}
