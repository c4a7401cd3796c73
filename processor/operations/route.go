package operations

import "opfeed/processor/dispatch"

// Action says what the engine does with a document of the feed.
type Action uint8

// Actions.
const (
	Skip   Action = iota // none of our business
	Drop                 // softly deleted
	Take                 // look at it
	Poison               // at fault, for Route.Reason: to be quarantined
)

// Route is where one document goes. The key is what the document says of itself,
// as far as it does.
type Route struct {
	Action
	dispatch.Key

	Reason string         // of Poison; names fields and repeats no content
	Fault  dispatch.Fault // its class
}

// Route looks at one document of the change feed. It is pure, does not panic on
// any input, and reads of other resource types no more than their type.
func (h *Handler) Route(raw []byte) Route { return route(raw) }

func route(raw []byte) Route {
	d, ok := parseDocument(raw)
	if !ok {
		return Route{Action: Poison, Reason: "not a JSON object", Fault: dispatch.Undecodable}
	}
	r := Route{Key: dispatch.Key{Partition: d.partition, ID: d.id}}
	if d.resourceType != "" && !d.isOperation() {
		return r
	}
	// Without a type it may be anything; without an address, too, it is damaged.
	if r.Reason = d.fault(); r.Reason != "" {
		r.Action, r.Fault = Poison, dispatch.Unaddressable
		return r
	}
	switch {
	case !d.isOperation():
		return r
	case d.deleted:
		r.Action = Drop
		return r
	}
	if _, r.Reason = parseOperation(d); r.Reason != "" {
		r.Action, r.Fault = Poison, dispatch.Undecodable
		return r
	}
	r.Action = Take
	return r
}
