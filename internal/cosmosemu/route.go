package cosmosemu

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
)

type resource uint8

const (
	resourceAccount resource = iota
	resourceDatabases
	resourceDatabase
	resourceContainers
	resourceContainer
	resourceItems
	resourceItem
	resourceRanges
	resourceOffers
	resourceOffer
)

// target is what a request's path names.
type target struct {
	resource  resource
	database  string
	container string
	item      string
	offer     string
}

// The kinds of RequestEntry.
const (
	kindFeed       = "feed"
	kindQuery      = "query"
	kindCrossQuery = "crossquery"
	kindRead       = "read"
	kindCreate     = "create"
	kindReplace    = "replace"
	kindUpsert     = "upsert"
	kindPatch      = "patch"
	kindDelete     = "delete"
	kindBatch      = "batch"
	kindAccount    = "account"
	kindDatabase   = "database"
	kindContainer  = "container"
	kindRanges     = "ranges"
	kindOffers     = "offers"
	kindPlan       = "plan"
	kindMetadata   = "metadata"
)

// locate finds out where the request goes, and its kind.
func (x *exchange) locate() error {
	path := strings.Trim(x.request.URL.EscapedPath(), "/")
	var segments []string
	if path != "" {
		segments = strings.Split(path, "/")
	}
	for i, segment := range segments {
		name, err := url.PathUnescape(segment)
		if err != nil || name == "" {
			return refuse(http.StatusBadRequest, "the path %q is malformed", path)
		}
		segments[i] = name
	}
	found, ok := parseTarget(segments)
	if !ok {
		return refuse(http.StatusNotFound, "the resource /%s is not known here", path)
	}
	x.target = found
	x.id = found.item
	x.kind = x.kindOf()
	return nil
}

// parseTarget knows dbs/{}/colls/{}/docs/{}, its beginnings, pkranges, and
// offers/{}.
func parseTarget(segments []string) (target, bool) {
	at := func(i int) string {
		if i < len(segments) {
			return segments[i]
		}
		return ""
	}
	if at(0) == "offers" {
		t := target{resource: resourceOffers, offer: at(1)}
		if len(segments) == 2 {
			t.resource = resourceOffer
		}
		return t, len(segments) <= 2
	}
	t := target{database: at(1), container: at(3), item: at(5)}
	if len(segments) > 0 && at(0) != "dbs" || len(segments) > 2 && at(2) != "colls" {
		return target{}, false
	}
	switch len(segments) {
	case 0:
		t.resource = resourceAccount
	case 1:
		t.resource = resourceDatabases
	case 2:
		t.resource = resourceDatabase
	case 3:
		t.resource = resourceContainers
	case 4:
		t.resource = resourceContainer
	case 5:
		switch at(4) {
		case "docs":
			t.resource = resourceItems
		case "pkranges":
			t.resource = resourceRanges
		default:
			return target{}, false
		}
		t.item = ""
	case 6:
		t.resource = resourceItem
		return t, at(4) == "docs"
	default:
		return target{}, false
	}
	return t, true
}

// link is the decoded name link that a master key signs, and its type.
func (t *target) link() (kind, link string) {
	switch t.resource {
	case resourceAccount:
		return "", ""
	case resourceDatabases:
		return "dbs", ""
	case resourceDatabase:
		return "dbs", "dbs/" + t.database
	case resourceContainers:
		return "colls", "dbs/" + t.database
	case resourceContainer:
		return "colls", "dbs/" + t.database + "/colls/" + t.container
	case resourceRanges:
		return "pkranges", "dbs/" + t.database + "/colls/" + t.container
	case resourceOffers:
		return "offers", ""
	case resourceOffer:
		return "offers", strings.ToLower(t.offer)
	case resourceItems:
		return "docs", "dbs/" + t.database + "/colls/" + t.container
	default:
		return "docs", "dbs/" + t.database + "/colls/" + t.container + "/docs/" + t.item
	}
}

// isQuery reports whether a POST asks instead of writing. The headers mean
// nothing with another method.
func (x *exchange) isQuery() bool {
	return x.request.Method == http.MethodPost && (x.flag("x-ms-documentdb-query") || x.flag("x-ms-documentdb-isquery") ||
		strings.HasPrefix(x.header("Content-Type"), "application/query+json"))
}

func (x *exchange) isFeed() bool { return x.header("A-IM") != "" }

var metadataKinds = map[resource]string{
	resourceAccount:    kindAccount,
	resourceDatabases:  kindDatabase,
	resourceDatabase:   kindDatabase,
	resourceContainers: kindContainer,
	resourceContainer:  kindContainer,
	resourceRanges:     kindRanges,
	resourceOffers:     kindOffers,
	resourceOffer:      kindOffers,
}

func (x *exchange) kindOf() string {
	method := x.request.Method
	switch {
	case x.resource == resourceItem:
		switch method {
		case http.MethodPut:
			return kindReplace
		case http.MethodPatch:
			return kindPatch
		case http.MethodDelete:
			return kindDelete
		default:
			return kindRead
		}
	case x.resource != resourceItems:
		return metadataKinds[x.resource]
	case x.flag("x-ms-cosmos-is-query-plan-request"):
		return kindPlan
	case method == http.MethodGet && x.isFeed():
		return kindFeed
	case method == http.MethodGet || x.isQuery():
		if x.header("x-ms-documentdb-partitionkey") == "" {
			return kindCrossQuery
		}
		return kindQuery
	case x.flag("x-ms-cosmos-is-batch-request"):
		return kindBatch
	case x.flag("x-ms-documentdb-is-upsert"):
		return kindUpsert
	default:
		return kindCreate
	}
}

// dispatch hands the request to its handler.
func (s *Server) dispatch(x *exchange) (*reply, error) {
	method := x.request.Method
	switch {
	case method != http.MethodPost:
	case x.flag("x-ms-cosmos-is-query-plan-request"):
		method = "PLAN"
	case x.isQuery():
		method = "QUERY"
	}
	handler, ok := handlers[x.resource][method]
	if !ok {
		return nil, refuse(http.StatusMethodNotAllowed, "%s is not possible on this resource", x.request.Method)
	}
	reply, err := handler(s, x)
	for errors.Is(err, errRetired) { // A split or a merge came first: there is a new owner.
		x.sessions, x.lsn, x.admitted = nil, 0, nil
		reply, err = handler(s, x)
	}
	if err != nil {
		switch f := asFailure(err); {
		case f.status == http.StatusTooManyRequests:
			return nil, f.costs(s.prices().Throttled)
		case f.charge == 0:
			return nil, f.costs(s.prices().Refused)
		default:
			return nil, err
		}
	}
	return reply, nil
}

type handler func(*Server, *exchange) (*reply, error)

var handlers = map[resource]map[string]handler{
	resourceAccount: {
		http.MethodGet: (*Server).readAccount,
	},
	resourceDatabases: {
		http.MethodGet:  (*Server).listDatabases,
		http.MethodPost: (*Server).createDatabase,
		"QUERY":         (*Server).queryDatabases,
	},
	resourceDatabase: {
		http.MethodGet:    (*Server).readDatabase,
		http.MethodDelete: (*Server).deleteDatabase,
	},
	resourceContainers: {
		http.MethodGet:  (*Server).listContainers,
		http.MethodPost: (*Server).createContainer,
		"QUERY":         (*Server).queryContainers,
	},
	resourceContainer: {
		http.MethodGet:    (*Server).readContainer,
		http.MethodPut:    (*Server).replaceContainer,
		http.MethodDelete: (*Server).deleteContainer,
	},
	resourceRanges: {
		http.MethodGet: (*Server).listRanges,
	},
	resourceOffers: {
		http.MethodGet: (*Server).listOffers,
		"QUERY":        (*Server).queryOffers,
	},
	resourceOffer: {
		http.MethodGet: (*Server).readOffer,
		http.MethodPut: (*Server).replaceOffer,
	},
	resourceItems: {
		http.MethodGet:  (*Server).readItems,
		http.MethodPost: (*Server).writeItems,
		"QUERY":         (*Server).queryItems,
		"PLAN":          (*Server).planQuery,
	},
	resourceItem: {
		http.MethodGet:    (*Server).readItem,
		http.MethodPut:    (*Server).writeItem,
		http.MethodPatch:  (*Server).writeItem,
		http.MethodDelete: (*Server).writeItem,
	},
}
