package operations

import (
	"cmp"

	"opfeed/processor/dispatch"
)

// about is what people are told of the operation that is looked at, as far as it
// is known.
func (l *look) about() dispatch.About {
	if l.op.id == "" {
		return dispatch.About{}
	}
	resource := l.op.properties.string("externalId")
	kind := cmp.Or(kindOf(resource), KindNone)
	if l.kind != 0 {
		kind = l.kind.String()
	}
	return dispatch.About{
		Name: kept(l.op.name), Kind: kind, Request: requestLabel(l.op.request), Resource: kept(resource), Began: l.op.start,
	}
}

// informed is an error of which people are told what it is about.
type informed struct {
	error
	about dispatch.About
}

func (e informed) Unwrap() error         { return e.error }
func (e informed) About() dispatch.About { return e.about }
