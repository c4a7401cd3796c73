package cosmosemu

import (
	"fmt"
	"sort"
)

// RequestCharges are the prices of requests in request units (RU). The model is
// in docs/request-units.md, with what Microsoft publishes and what is assumed:
// good for comparing two ways of doing a thing, not for a bill.
//
// A field that is zero has its default.
type RequestCharges struct {
	// Read is a point read of up to 1 KB; larger items cost more, see
	// sizePrices. Default 1.
	Read float64 `json:"read"`
	// Create is the creation of an item of up to 1 KB without its properties;
	// larger items cost more, see sizePrices. Default 4.95.
	Create float64 `json:"create"`
	// Property is added for each property of an item that is written. Default
	// 0.2.
	Property float64 `json:"property"`
	// Rewrite is a replacement, an upsert of an existing item or a patch,
	// compared with the creation of the new version. Default 2.
	Rewrite float64 `json:"rewrite"`
	// Delete is a deletion, compared with the creation of the item. Default 1.
	Delete float64 `json:"delete"`
	// Patch is added for each operation of a patch. Default 0.4.
	Patch float64 `json:"patch"`
	// Feed is the least that a page of the change feed or of the plain list of
	// items costs, an empty one, too. Otherwise it costs as much as reading its
	// items one by one. Default 1.
	Feed float64 `json:"feed"`
	// Query is a page of a query, for each partition asked. Default 2.3.
	Query float64 `json:"query"`
	// ResultKB is added for each KB that a query returns. Default 0.3.
	ResultKB float64 `json:"resultKB"`
	// Metadata is any request about databases, containers, their throughput and
	// their ranges. Default 1.
	Metadata float64 `json:"metadata"`
	// Refused is a request that reached an item or its container and was
	// refused. One that did not (unknown route, wrong key) costs nothing.
	// Default 1.
	Refused float64 `json:"refused"`
	// Throttled is a request that was refused for want of request units. It is
	// reported, but not taken from the budget. Default 0.38.
	Throttled float64 `json:"throttled"`
}

// price is a field of RequestCharges, and its default.
type price struct {
	field    *float64
	fallback float64
}

func (c *RequestCharges) all() []price {
	return []price{
		{&c.Read, 1},
		{&c.Create, 4.95},
		{&c.Property, 0.2},
		{&c.Rewrite, 2},
		{&c.Delete, 1},
		{&c.Patch, 0.4},
		{&c.Feed, 1},
		{&c.Query, 2.3},
		{&c.ResultKB, 0.3},
		{&c.Metadata, 1},
		{&c.Refused, 1},
		{&c.Throttled, 0.38},
	}
}

func (c RequestCharges) withDefaults() RequestCharges {
	for _, p := range c.all() {
		if *p.field == 0 {
			*p.field = p.fallback
		}
	}
	return c
}

// mostRU keeps prices to what can be multiplied and added up.
const mostRU = 1e9

func (c RequestCharges) check() error {
	for _, p := range c.all() {
		if !(*p.field >= 0 && *p.field <= mostRU) {
			return fmt.Errorf("a price is %v RU: it must be from 0, which is its default, to %v", *p.field, mostRU)
		}
	}
	return nil
}

// RequestCharges returns the prices in force, defaults filled in. It may be
// called at any time.
func (s *Server) RequestCharges() RequestCharges { return *s.prices() }

func (s *Server) prices() *RequestCharges { return s.charges.Load() }

// SetRequestCharges puts other prices into force, for requests that arrive from
// now on. Zero fields have defaults, whatever was in force before. It may be
// called at any time. It panics if a price is not from 0 to a billion.
func (s *Server) SetRequestCharges(c RequestCharges) {
	if err := c.check(); err != nil {
		panic(fmt.Sprintf("cosmosemu: set request charges: %v", err))
	}
	c = c.withDefaults()
	s.charges.Store(&c)
}

func (c *RequestCharges) read(size int) float64 {
	read, _ := sizeFactors(size)
	return c.Read * read
}

func (c *RequestCharges) create(size, properties int) float64 {
	_, write := sizeFactors(size)
	return c.Create*write + c.Property*float64(properties)
}

func (c *RequestCharges) rewrite(size, properties int) float64 {
	return c.Rewrite * c.create(size, properties)
}

func (c *RequestCharges) patch(size, properties, operations int) float64 {
	return c.rewrite(size, properties) + c.Patch*float64(operations)
}

func (c *RequestCharges) remove(size, properties int) float64 {
	return c.Delete * c.create(size, properties)
}

func (c *RequestCharges) query(ranges, bytes int) float64 {
	return c.Query*float64(max(ranges, 1)) + c.ResultKB*float64(bytes)/1024
}

// feed is the price of a page that is not searched for; reads is what it costs
// to read its items one by one.
func (c *RequestCharges) feed(reads float64) float64 { return max(c.Feed, reads) }

// sizePrices are the published prices of reading and writing an item by its
// size, in RU.
var sizePrices = []struct{ kilobytes, read, write float64 }{
	{1, 1, 4.95},
	{2, 1.04, 6.29},
	{4, 1.14, 6.67},
	{8, 1.33, 7.04},
	{16, 1.67, 9.52},
	{32, 2.19, 11.23},
	{64, 4.76, 22.67},
	{128, 9.95, 48.19},
	{256, 20.28, 98.29},
	{512, 40.95, 184.57},
	{1024, 145.9, 625},
	{2048, 291.8, 1250},
}

// sizeFactors are how many times the price of 1 KB an item of so many bytes
// costs: 1 for anything smaller, and in proportion between two published sizes.
func sizeFactors(bytes int) (read, write float64) {
	kilobytes := float64(bytes) / 1024
	least, most := sizePrices[0], sizePrices[len(sizePrices)-1]
	kilobytes = min(max(kilobytes, least.kilobytes), most.kilobytes)
	i := sort.Search(len(sizePrices), func(i int) bool { return sizePrices[i].kilobytes >= kilobytes })
	above := sizePrices[i]
	below := sizePrices[max(i-1, 0)]
	part := 1.0
	if above != below {
		part = (kilobytes - below.kilobytes) / (above.kilobytes - below.kilobytes)
	}
	read = below.read + part*(above.read-below.read)
	write = below.write + part*(above.write-below.write)
	return read / least.read, write / least.write
}
