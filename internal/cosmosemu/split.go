package cosmosemu

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"opfeed/internal/epk"
)

// SplitOptions say where and when a range is split. The zero value: in the
// middle, now.
type SplitOptions struct {
	// At is where the second child begins: an effective partition key, in pairs
	// of upper-case hex digits. Default: the middle of the range's keys that
	// occur; the last range's end at "40".
	At string
	// Hold is how long the range is splitting before it is split: 0 not at all,
	// negative until Release. Meanwhile requests that name the range get
	// 410/1007; those that name a partition key work, because here the gateway
	// waits for nobody. The hold ends with the first request after its time, by
	// the account's clock.
	Hold time.Duration
}

// heldSplit is a split that is decided but not done.
type heldSplit struct {
	parent   *partition
	at       string
	children []string  // ids
	until    time.Time // zero: until it is released
}

// Split divides a range into two, and returns their ids, which are new. They
// are known at once, though with a Hold nobody else sees them before its end.
//
// The children go on with the parent's log: items keep their LSNs, and the
// children's begin one above the parent's. So a position in the parent's feed,
// and a session token of it, are good for both.
func (s *Server) Split(database, container, rangeID string, o SplitOptions) (children []string, err error) {
	c, err := s.find(database, container)
	if err == nil {
		children, err = c.split(rangeID, o, s.clock.now())
	}
	if err != nil {
		return nil, fmt.Errorf("split range %q of %s/%s: %w", rangeID, database, container, err)
	}
	return children, nil
}

// Release ends the hold of a range: it is split.
func (s *Server) Release(database, container, rangeID string) error {
	c, err := s.find(database, container)
	if err == nil {
		err = c.release(rangeID, s.clock.now())
	}
	if err != nil {
		return fmt.Errorf("release range %q of %s/%s: %w", rangeID, database, container, err)
	}
	return nil
}

// Merge makes one range of two, of which the second begins where the first
// ends, and returns its id, which is new.
//
// Items keep their LSNs, and the range's begin one above the greater of the two.
// So a position in the feed of either leads to all that was not read there: of
// the same keys only, if the request says which (x-ms-start-epk, x-ms-end-epk);
// else also to items of the other, perhaps for a second time.
func (s *Server) Merge(database, container, left, right string) (id string, err error) {
	c, err := s.find(database, container)
	if err == nil {
		id, err = c.merge(left, right, s.clock.now())
	}
	if err != nil {
		return "", fmt.Errorf("merge ranges %q and %q of %s/%s: %w", left, right, database, container, err)
	}
	return id, nil
}

// routes is who owns what now: what was held until a time before is done first.
func (c *container) routes(now time.Time) *routing {
	routes := c.routing.Load()
	if routes.due(now) == nil {
		return routes
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.settle(now)
}

// settle does the splits that are due. The caller has c.mu.
func (c *container) settle(now time.Time) *routing {
	for {
		routes := c.routing.Load()
		h := routes.due(now)
		if h == nil {
			return routes
		}
		c.divide(h)
	}
}

func (c *container) split(rangeID string, o SplitOptions, now time.Time) ([]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	routes := c.settle(now)
	p, err := routes.byID(rangeID)
	if err != nil {
		return nil, err
	}
	at := cmp.Or(o.At, middleKey(p.min, p.max))
	if err := c.checkCut(p, at); err != nil {
		return nil, err
	}
	h := &heldSplit{parent: p, at: at, children: []string{c.newRangeID(), c.newRangeID()}}
	if o.Hold == 0 {
		c.divide(h)
		return h.children, nil
	}
	if o.Hold > 0 {
		h.until = now.Add(o.Hold)
	}
	c.routing.Store(routes.holding(h))
	return h.children, nil
}

// checkCut accepts a place within the range at which every key is clearly on
// one side.
func (c *container) checkCut(p *partition, at string) error {
	d := c.definition.Load()
	longest := len(d.epk(make(partitionKey, len(d.paths))))
	switch _, ok := parseKey(at); {
	case !ok || len(at) > longest:
		return fmt.Errorf("%q is not an effective partition key: up to %d upper-case hex digits, in pairs", at, longest)
	case epk.Compare(at, p.min) <= 0 || epk.Compare(at, p.max) >= 0:
		return fmt.Errorf("%q is not inside the range [%q, %q)", at, p.min, p.max)
	case d.version == 1:
		return errors.New("the effective partition keys of version 1 are not known here: such a container has one range")
	default:
		return nil
	}
}

func (c *container) release(rangeID string, now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.settle(now).held {
		if h.parent.id == rangeID {
			c.divide(h)
			return nil
		}
	}
	return errors.New("the range is not held")
}

func (c *container) merge(left, right string, now time.Time) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	routes := c.settle(now)
	first, err := routes.byID(left)
	if err != nil {
		return "", err
	}
	second, err := routes.byID(right)
	if err != nil {
		return "", err
	}
	if first.max != second.min {
		return "", fmt.Errorf("[%q, %q) does not end where [%q, %q) begins", first.min, first.max, second.min, second.max)
	}
	parents := []*partition{first, second}
	merged := newPartition(c, c.newRangeID(), first.min, second.max, ancestors(parents)...)
	c.succeed(parents, []*partition{merged})
	return merged.id, nil
}

func (c *container) divide(h *heldSplit) {
	p := h.parent
	parents := []*partition{p}
	c.succeed(parents, []*partition{
		newPartition(c, h.children[0], p.min, h.at, ancestors(parents)...),
		newPartition(c, h.children[1], h.at, p.max, ancestors(parents)...),
	})
}

// succeed puts heirs in the place of neighbours. Whoever waits for one of these
// finds it retired, and the new routing in force.
func (c *container) succeed(neighbours, heirs []*partition) {
	for _, p := range neighbours {
		p.mu.Lock()
	}
	for _, heir := range heirs {
		heir.inherit(neighbours)
	}
	c.routing.Store(c.routing.Load().replacing(neighbours, heirs))
	for _, p := range neighbours {
		p.retired = true
		p.mu.Unlock()
	}
}

// ancestors is the whole chain, oldest first: ids are given in rising order.
// That the service shows more than the last generation is not verified.
func ancestors(parents []*partition) []string {
	var ids []string
	for _, p := range parents {
		ids = append(append(ids, p.parents...), p.id)
	}
	slices.SortFunc(ids, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	return slices.Compact(ids)
}

// newRangeID is never used again in the container. The caller has c.mu, or is
// the only one to know the container.
func (c *container) newRangeID() string {
	c.rangeIDs++
	return strconv.Itoa(c.rangeIDs - 1)
}
