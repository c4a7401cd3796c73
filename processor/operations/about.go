package operations

import (
	"cmp"
	"fmt"
	"time"

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
		Name: told(l.op.name), Kind: kind, Request: requestLabel(l.op.request), Resource: told(resource), Began: l.began(),
	}
}

// told is kept, and says of what it cuts how long it was, as processor/status does.
func told(s string) string {
	if len(s) <= maxLogged {
		return kept(s)
	}
	return fmt.Sprintf("%s… (%d bytes)", clip(s, maxLogged-32), len(s))
}

// began is when the operation was asked for, or what is next best: one whose
// startTime is missing or makes no sense grows old like the others.
func (l *look) began() time.Time {
	if start := l.input(l.seen, l.at).started(); !start.IsZero() {
		return start
	}
	if stored := l.seen.Written; !stored.IsZero() && stored.Before(l.seen.First) {
		return stored
	}
	return l.seen.First
}

// informed is an error of which people are told what it is about.
type informed struct {
	error
	about dispatch.About
}

func (e informed) Unwrap() error         { return e.error }
func (e informed) About() dispatch.About { return e.about }
