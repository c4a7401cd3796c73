package cssim

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"opfeed/cs"
)

const defaultPageSize = 100

func (s *Server) list(r request) (answer, error) {
	var all []*object
	if r.ref.Kind == cs.Cluster {
		for k, o := range s.objects {
			if k.Kind == cs.Cluster {
				all = append(all, o)
			}
		}
		slices.SortFunc(all, func(a, b *object) int { return cmp.Compare(a.ref.Cluster, b.ref.Cluster) })
	} else {
		if _, _, err := s.find(parentOf(r.ref), r.asOf); err != nil {
			return answer{}, err
		}
		for _, o := range s.children(r.ref) {
			if o.ref.Kind == r.ref.Kind {
				all = append(all, o)
			}
		}
	}

	search, descending, err := searchOf(r)
	if err != nil {
		return answer{}, err
	}
	found := slices.DeleteFunc(all, func(o *object) bool {
		st := o.stateAt(r.asOf)
		return st.gone || !search(o, st)
	})
	if descending {
		slices.Reverse(found)
	}
	from, to, page, err := pageOf(r.Request, len(found))
	if err != nil {
		return answer{}, err
	}
	items := []any{} // never null
	for _, o := range found[from:to] {
		o.read(r.agent, r.now)
		items = append(items, o.render(r.api, o.show(r.effect, o.stateAt(r.asOf))))
	}
	return answer{http.StatusOK, envelope(r.ref.Kind.String()+"List", page, items, len(found))}, nil
}

func (s *Server) listChecks(r request) (answer, error) {
	o, st, err := s.find(r.ref, r.asOf)
	if err != nil {
		return answer{}, err
	}
	checks := o.inflightChecks(r.api, st)
	from, to, page, err := pageOf(r.Request, len(checks))
	if err != nil {
		return answer{}, err
	}
	return answer{http.StatusOK, envelope("InflightCheckList", page, checks[from:to], len(checks))}, nil
}

func envelope(kind string, page int, items []any, total int) map[string]any {
	return map[string]any{"kind": kind, "page": page, "size": len(items), "total": total, "items": items}
}

// pageOf reads page (from 1) and size, and gives the part of total they mean.
func pageOf(r *http.Request, total int) (from, to, page int, err error) {
	page, size := 1, defaultPageSize
	for name, at := range map[string]*int{"page": &page, "size": &size} {
		text := r.URL.Query().Get(name)
		if text == "" {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 1<<20 {
			return 0, 0, 0, &failure{http.StatusBadRequest, fmt.Sprintf("The value of parameter '%s' isn't valid", name)}
		}
		*at = n
	}
	from = min((page-1)*size, total)
	return from, min(from+size, total), page, nil
}
