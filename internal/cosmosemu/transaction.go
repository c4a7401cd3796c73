package cosmosemu

import (
	"slices"
	"time"
)

// transaction is a commit in the making, under the partition's lock. Later
// steps see earlier ones; nobody else sees any before commit.
type transaction struct {
	partition *partition
	now       time.Time
	pending   []pendingChange
}

// pendingChange is the last state of one item: a version, or nil for deleted.
type pendingChange struct {
	key      itemKey
	document *document
}

// commit runs steps and, if they succeed and changed anything, commits what
// they did under one new LSN. It returns the LSN that the partition then has.
// Steps are not run in a partition that is retired.
func (p *partition) commit(now time.Time, steps func(*transaction) error) (int64, error) {
	keep := p.owner.account.longestLag() // not under the lock: rules have one, too
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.retired {
		return 0, errRetired
	}
	tx := &transaction{partition: p, now: now}
	if err := steps(tx); err != nil || len(tx.pending) == 0 {
		return p.lsn, err
	}
	p.lsn++
	p.at = p.owner.account.uptime()
	p.remember(tx.pending, keep)
	for _, next := range tx.pending {
		p.apply(next)
	}
	p.tidy(now)
	return p.lsn, nil
}

// read returns the item's version as this transaction sees it, or nil.
func (tx *transaction) read(key itemKey) *document {
	if i := tx.index(key); i >= 0 {
		return tx.pending[i].document
	}
	return tx.partition.visible(key, tx.now)
}

// write makes a new version of an item, in its slot or, if there is no such
// item, in a new one.
func (tx *transaction) write(key itemKey, epk string, it *item) *document {
	owner := tx.partition.owner
	var s *slot
	if old := tx.read(key); old != nil {
		s = old.slot
	} else {
		s = &slot{itemKey: key, epk: epk, serial: owner.serials.Add(1)}
	}
	d := newDocument(owner, s, it, owner.account.newETag(), tx.now.Unix())
	tx.set(key, d)
	return d
}

func (tx *transaction) remove(key itemKey) { tx.set(key, nil) }

func (tx *transaction) set(key itemKey, d *document) {
	if i := tx.index(key); i >= 0 {
		tx.pending[i].document = d
		return
	}
	tx.pending = append(tx.pending, pendingChange{key, d})
}

func (tx *transaction) index(key itemKey) int {
	return slices.IndexFunc(tx.pending, func(c pendingChange) bool { return c.key == key })
}

// apply makes one change visible at the partition's LSN.
func (p *partition) apply(next pendingChange) {
	old := p.items[next.key]
	if old != nil && (next.document == nil || next.document.slot != old) {
		p.drop(old)
		old = nil
	}
	if next.document == nil {
		return
	}
	s := next.document.slot
	if old == nil {
		p.share(s)
		p.insert(s)
	} else {
		p.stale++
	}
	next.document.lsn = p.lsn
	s.current = next.document
	p.log = append(p.log, change{p.lsn, p.at, s})
}

// share lets a new slot keep no copy of its own of what all slots of a logical
// partition have in common. Once others know the slot, they read that without a
// lock.
func (p *partition) share(s *slot) {
	if list := p.logical[s.partition]; list != nil {
		s.partition, s.epk = list.slots[0].partition, list.slots[0].epk
	}
}

func (p *partition) insert(s *slot) {
	list := p.logical[s.partition]
	if list == nil {
		list = &slotList{}
		p.logical[s.partition] = list
	}
	p.items[s.itemKey] = s
	p.all.add(s)
	list.add(s)
}

func (p *partition) drop(s *slot) {
	delete(p.items, s.itemKey)
	s.current = nil
	p.stale++
	p.all.drop()
	if p.logical[s.partition].drop() {
		delete(p.logical, s.partition)
	}
}

// tidy keeps the log at most twice as long as it must be, and now and then
// drops expired items. Both cost a constant per commit in the long run.
func (p *partition) tidy(now time.Time) {
	const few = 1024
	if p.sweep--; p.sweep < 0 {
		if p.owner.definition.Load().defaultTTL != nil {
			for _, s := range slices.Clone(p.all.slots) {
				if s.current != nil && p.expired(s.current, now) {
					p.drop(s)
				}
			}
		}
		p.sweep = max(few, len(p.items))
	}
	if p.stale > max(few, len(p.log)/2) {
		p.log = slices.DeleteFunc(p.log, func(c change) bool { return !c.live() })
		p.stale = 0
	}
}
