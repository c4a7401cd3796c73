package cosmosemu

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"time"

	"opfeed/internal/epk"
)

// partition is one physical partition: the items of one range of effective
// partition keys, and the log of their commits. It knows nothing of requests
// and routing.
//
// A commit gets the next log sequence number (LSN), all its changes the same
// one. The log keeps, in the order of LSNs, the last change of every item: it is
// the change feed.
//
// A split or a merge retires a partition: its items belong to its heirs, under
// their locks, and it does nothing more than say errRetired.
type partition struct {
	id      string
	min     string // inclusive
	max     string // exclusive
	parents []string
	owner   *container

	spent budget

	mu      sync.RWMutex
	retired bool
	lsn     int64
	at      time.Duration // of the last commit, see Server.uptime
	items   map[itemKey]*slot
	logical map[string]*slotList // by itemKey.partition
	all     slotList
	log     []change
	stale   int // changes in the log that are superseded
	sweep   int // commits until expired items are looked for
	past    []past
}

// errRetired means that the partition has heirs: route the request again.
var errRetired = errors.New("the partition was split or merged")

// change is one entry of the log. It is superseded when the slot has moved on.
type change struct {
	lsn  int64
	at   time.Duration // of the commit, see Server.uptime
	slot *slot
}

func (c change) live() bool {
	return c.slot.current != nil && c.slot.current.lsn == c.lsn
}

func newPartition(owner *container, id, low, high string, parents ...string) *partition {
	return &partition{
		id: id, min: low, max: high, parents: parents, owner: owner,
		items:   map[itemKey]*slot{},
		logical: map[string]*slotList{},
	}
}

// expired reports whether a version's time is over. It is then invisible, even
// while it is still stored.
func (p *partition) expired(d *document, now time.Time) bool {
	fallback := p.owner.definition.Load().defaultTTL
	if fallback == nil {
		return false
	}
	ttl := d.ttl
	if ttl == 0 {
		ttl = int64(*fallback)
	}
	return ttl > 0 && now.Unix() >= d.ts+ttl
}

// read returns the item's current version, or nil, and the LSN it was read at.
func (p *partition) read(key itemKey, now time.Time) (*document, int64, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.retired {
		return nil, 0, errRetired
	}
	return p.visible(key, now), p.lsn, nil
}

func (p *partition) visible(key itemKey, now time.Time) *document {
	s := p.items[key]
	if s == nil || p.expired(s.current, now) {
		return nil
	}
	return s.current
}

// position is the current LSN.
func (p *partition) position() (int64, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.retired {
		return 0, errRetired
	}
	return p.lsn, nil
}

// list returns the items created after a serial, in the order of creation, and
// the LSN. A nil key means every logical partition.
func (p *partition) list(key *string, after uint64, now time.Time) ([]*document, int64, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.retired {
		return nil, 0, errRetired
	}
	return p.listed(key, after, now), p.lsn, nil
}

func (p *partition) listed(key *string, after uint64, now time.Time) []*document {
	source := &p.all
	if key != nil {
		if source = p.logical[*key]; source == nil {
			return nil
		}
	}
	slots := source.slots[source.after(after):]
	documents := make([]*document, 0, len(slots))
	for _, s := range slots {
		if s.current != nil && !p.expired(s.current, now) {
			documents = append(documents, s.current)
		}
	}
	return documents
}

func bySerial(a, b *document) int { return cmp.Compare(a.slot.serial, b.slot.serial) }

// feedPage asks the log for changes.
type feedPage struct {
	after    int64         // LSN
	items    int           // soft limit: a commit is never torn
	bytes    int           // soft limit
	until    time.Duration // what was committed later does not show, see Server.uptime
	accepted func(*document) bool
}

// changes returns the last version of what changed after an LSN, in order; the
// LSN to go on from; and the current one.
func (p *partition) changes(page feedPage, now time.Time) (documents []*document, last, current int64, err error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.retired {
		return nil, 0, 0, errRetired
	}
	size, end := 0, p.lsn
	start, _ := slices.BinarySearchFunc(p.log, page.after+1, func(c change, lsn int64) int {
		return cmp.Compare(c.lsn, lsn)
	})
	for _, c := range p.log[start:] {
		if c.at > page.until {
			end = c.lsn - 1 // after a merge, older changes may have that LSN, too
			documents = slices.DeleteFunc(documents, func(d *document) bool { return d.lsn > end })
			break
		}
		full := len(documents) >= page.items || size >= page.bytes
		if full && c.lsn > documents[len(documents)-1].lsn {
			break
		}
		if !c.live() || p.expired(c.slot.current, now) || !page.accepted(c.slot.current) {
			continue
		}
		documents = append(documents, c.slot.current)
		size += c.slot.current.size()
	}
	if len(documents) > 0 {
		return documents, documents[len(documents)-1].lsn, p.lsn, nil
	}
	// Never back: the client may have been told more than is left here.
	return nil, max(page.after, end), p.lsn, nil
}

// inherit fills a new partition with what its parents have in its range. Nobody
// else knows it yet, and the caller has the locks of the parents, whose slots
// it takes over.
func (p *partition) inherit(parents []*partition) {
	var slots []*slot
	for _, parent := range parents {
		p.lsn = max(p.lsn, parent.lsn+1)
		for _, s := range parent.all.slots {
			if s.current != nil && epk.Contains(p.min, p.max, s.epk) {
				slots = append(slots, s)
			}
		}
		for _, c := range parent.log {
			if c.live() && epk.Contains(p.min, p.max, c.slot.epk) {
				p.log = append(p.log, c)
			}
		}
	}
	if len(parents) > 1 {
		slices.SortFunc(slots, func(a, b *slot) int { return cmp.Compare(a.serial, b.serial) })
		slices.SortStableFunc(p.log, func(a, b change) int { return cmp.Compare(a.lsn, b.lsn) })
	}
	for _, s := range slots {
		p.insert(s)
	}
}

// slotList keeps slots in the order of creation.
type slotList struct {
	slots []*slot
	dead  int // deleted, but still listed
}

// add appends, but for an item that was created, in one batch, before one that
// is listed already.
func (l *slotList) add(s *slot) { l.slots = slices.Insert(l.slots, l.after(s.serial), s) }

// after is the index of the first slot behind a serial.
func (l *slotList) after(serial uint64) int {
	i, found := slices.BinarySearchFunc(l.slots, serial, func(s *slot, serial uint64) int {
		return cmp.Compare(s.serial, serial)
	})
	if found {
		i++
	}
	return i
}

// drop notes that one slot was deleted. It reports whether none is left.
func (l *slotList) drop() bool {
	l.dead++
	if l.dead > len(l.slots)/2 {
		l.slots = slices.DeleteFunc(l.slots, func(s *slot) bool { return s.current == nil })
		l.dead = 0
	}
	return len(l.slots) == l.dead
}
