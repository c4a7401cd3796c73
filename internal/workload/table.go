package workload

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"opfeed/cs"
)

// Row counts the operations of one request on one kind of resource.
type Row struct {
	Kind    string // Cluster, NodePool, ExternalAuth, BreakGlassCredential; of a loaded document also "?"
	Request string // Create, Update, Delete, RequestCredential, RevokeCredentials; of a loaded document also others
	Created int
	Pending int
	Ended   map[string]int // by terminal status
}

// tally counts entries: in all, and in one row for each of the eleven kinds of
// operations, in order and even where there is none, followed by what documents
// held besides.
func tally(es []entry) (o Operations, rows []Row) {
	o.ByStatus = map[string]int{}
	for _, k := range []Kind{Cluster, NodePool, ExternalAuth} {
		for _, r := range []Request{Create, Update, Delete} {
			rows = append(rows, Row{Kind: k.String(), Request: r.String(), Ended: map[string]int{}})
		}
	}
	rows = append(rows,
		Row{Kind: Credential.String(), Request: RequestCredential.String(), Ended: map[string]int{}},
		Row{Kind: Cluster.String(), Request: RevokeCredentials.String(), Ended: map[string]int{}})
	for _, e := range es {
		kind, request := e.what()
		i := slices.IndexFunc(rows, func(r Row) bool { return r.Kind == kind && r.Request == request })
		if i < 0 {
			i = len(rows)
			rows = append(rows, Row{Kind: kind, Request: request, Ended: map[string]int{}})
		}
		rows[i].Created++
		o.Created++
		o.ByStatus[e.Status]++
		if e.Terminal.IsZero() {
			rows[i].Pending++
			o.Pending++
		} else {
			rows[i].Ended[e.Status]++
			o.Terminal++
		}
	}
	return o, rows
}

// what says in words which kind of operation an entry is. A loaded document
// speaks for itself, and may be of a kind that no front end here starts.
func (e entry) what() (kind, request string) {
	if !e.Loaded {
		return e.Target.Kind.String(), e.Request.String()
	}
	request = text(e.Before, "properties", "request")
	if r, ok := requestOf(request); ok {
		request = r.String()
	}
	if ref, err := cs.ParseRef(e.Object); err == nil {
		return ref.Kind.String(), request
	}
	// It has no internal id yet: its resource tells as well.
	segments := strings.Split(e.Resource, "/")
	if len(segments) > 1 {
		switch strings.ToLower(segments[len(segments)-2]) {
		case "hcpopenshiftclusters":
			return Cluster.String(), request
		case "nodepools":
			return NodePool.String(), request
		case "externalauths":
			return ExternalAuth.String(), request
		}
	}
	return "?", request
}

// table is rows for people, one line each below a line of headings.
func table(rows []Row) string {
	statuses := []string{"Succeeded", "Failed", "Canceled"}
	kind, request := 0, 0
	for _, r := range rows {
		kind, request = max(kind, len(r.Kind)), max(request, len(r.Request))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%*s  %5s", kind+2+request, "", "all")
	for _, s := range statuses {
		fmt.Fprintf(&b, "  %s", s)
	}
	fmt.Fprint(&b, "  pending\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "%-*s  %-*s  %5d", kind, r.Kind, request, r.Request, r.Created)
		for _, s := range statuses {
			fmt.Fprintf(&b, "  %*s", len(s), orDot(r.Ended[s]))
		}
		fmt.Fprintf(&b, "  %7s\n", orDot(r.Pending))
	}
	return b.String()
}

// orDot keeps the eye on what is there.
func orDot(n int) string {
	if n == 0 {
		return "."
	}
	return strconv.Itoa(n)
}
