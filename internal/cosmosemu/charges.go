package cosmosemu

import "math/bits"

// RequestCharges are the prices of requests in request units (RU). The model is
// simple, documented by Microsoft only in part, and good for comparing two ways
// of doing a thing, not for a bill:
//
//   - size is 1 up to 1 KB and doubles with every doubling of the item
//   - a point read costs Read x size
//   - a create costs Create x size + Property for each property
//   - replace, upsert of an existing item, patch and delete cost Rewrite times
//     what a create of that item costs
//   - a batch costs the sum of its operations
//   - a feed read costs Feed + ResultKB for each KB returned
//   - a query costs Query for each range asked + ResultKB for each KB returned
//   - everything about databases, containers and ranges costs Metadata
//   - a refused request that reached an item or its container costs Refused;
//     one that did not (unknown route, wrong key) costs nothing
type RequestCharges struct {
	Read     float64 // default 1
	Create   float64 // default 5.8
	Property float64 // default 0.3
	Rewrite  float64 // default 1.5
	Feed     float64 // default 1
	Query    float64 // default 2.3
	ResultKB float64 // default 0.3
	Metadata float64 // default 1
	Refused  float64 // default 1
}

func (c RequestCharges) withDefaults() RequestCharges {
	for _, price := range []struct {
		field *float64
		value float64
	}{
		{&c.Read, 1},
		{&c.Create, 5.8},
		{&c.Property, 0.3},
		{&c.Rewrite, 1.5},
		{&c.Feed, 1},
		{&c.Query, 2.3},
		{&c.ResultKB, 0.3},
		{&c.Metadata, 1},
		{&c.Refused, 1},
	} {
		if *price.field == 0 {
			*price.field = price.value
		}
	}
	return c
}

func (c *RequestCharges) read(size int) float64 {
	return c.Read * sizeFactor(size)
}

func (c *RequestCharges) create(size, properties int) float64 {
	return c.Create*sizeFactor(size) + c.Property*float64(properties)
}

func (c *RequestCharges) rewrite(size, properties int) float64 {
	return c.Rewrite * c.create(size, properties)
}

func (c *RequestCharges) results(bytes int) float64 {
	return c.ResultKB * float64(bytes) / 1024
}

func (c *RequestCharges) query(ranges, bytes int) float64 {
	return c.Query*float64(max(ranges, 1)) + c.results(bytes)
}

func (c *RequestCharges) feed(bytes int) float64 {
	return c.Feed + c.results(bytes)
}

// sizeFactor is 2^ceil(log2 KB), and 1 for anything up to 1 KB.
func sizeFactor(size int) float64 {
	kilobytes := (size + 1023) / 1024
	if kilobytes <= 1 {
		return 1
	}
	return float64(uint64(1) << bits.Len(uint(kilobytes-1)))
}
