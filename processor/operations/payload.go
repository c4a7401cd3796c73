package operations

import (
	"cmp"
	"encoding/json"

	"opfeed/processor/notification"
)

// payload is what ARM is told: what the document says, and no more. An implicit
// operation has no operationId, and no front end should have stored a URI with
// it; if one did, ARM is told with the operation's own resource id, or with none:
// the URI says what is meant.
func (op operation) payload() notification.Payload {
	id := cmp.Or(op.properties.string("operationId"), op.properties.string("resourceId"), op.envelope.string("resourceID"))
	p := notification.NewPayload(id, op.status, op.start, op.transition, storedError(op.properties["error"], maxErrors))
	p.Name = op.name
	return p
}

// maxErrors bounds how deep errors lie in errors: documents may be hostile.
const maxErrors = 5

// storedError is an error as it is stored, or nil. What is of another type in it
// is left out.
func storedError(raw json.RawMessage, depth int) *notification.Error {
	o, ok := parseObject(raw)
	if !ok || depth == 0 {
		return nil
	}
	e := &notification.Error{Code: o.string("code"), Message: o.string("message"), Target: o.string("target")}
	var details []json.RawMessage
	if json.Unmarshal(o["details"], &details) == nil {
		for _, d := range details {
			if inner := storedError(d, depth-1); inner != nil {
				e.Details = append(e.Details, *inner)
			}
		}
	}
	return e
}
