package dispatch

// Fault is the class of what is wrong with a document in quarantine: a few words
// for metrics, while a Reason is free text.
type Fault uint8

// The faults.
const (
	Other         Fault = iota // none of those below, or nobody said
	Undecodable                // it does not say what it has to
	Unaddressable              // nothing can be asked for by its id or partition key
	Panicked                   // the handler does at the sight of it
	Refused                    // the database takes no write of it
	GivenUp                    // its steps have failed for too long, or its handler says so
)

// Faults lists them all.
func Faults() []Fault {
	return []Fault{Other, Undecodable, Unaddressable, Panicked, Refused, GivenUp}
}

func (f Fault) String() string {
	switch f {
	case Undecodable:
		return "undecodable"
	case Unaddressable:
		return "unaddressable"
	case Panicked:
		return "panic"
	case Refused:
		return "refused"
	case GivenUp:
		return "given_up"
	default:
		return "other"
	}
}
