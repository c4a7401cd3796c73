package cssim

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

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

	search := r.URL.Query().Get("search")
	if search != "" && r.ref.Kind == cs.ExternalAuth {
		return answer{}, &failure{http.StatusBadRequest, "External auths can't be searched"}
	}
	wanted, err := parseSearch(search)
	if err != nil {
		return answer{}, err
	}
	found := slices.DeleteFunc(all, func(o *object) bool {
		return o.stateAt(r.asOf).gone || wanted != nil && !wanted[idOf(o.ref)]
	})
	from, to, page, err := pageOf(r.Request, len(found))
	if err != nil {
		return answer{}, err
	}
	items := []any{} // never null
	for _, o := range found[from:to] {
		o.read(r.agent, r.now)
		items = append(items, o.render(r.api, r.effect.show(o.stateAt(r.asOf))))
	}
	return answer{http.StatusOK, envelope(r.ref.Kind.String()+"List", page, items, len(found))}, nil
}

func (s *Server) listChecks(r request) (answer, error) {
	o, _, err := s.find(r.ref, r.asOf)
	if err != nil {
		return answer{}, err
	}
	from, to, page, err := pageOf(r.Request, len(o.checks))
	if err != nil {
		return answer{}, err
	}
	items := []any{}
	for _, check := range o.checks[from:to] {
		items = append(items, check)
	}
	return answer{http.StatusOK, envelope("InflightCheckList", page, items, len(o.checks))}, nil
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

// parseSearch understands `id in ('a', 'b')` only; nil means all.
func parseSearch(text string) (map[string]bool, error) {
	bad := &failure{http.StatusBadRequest, "The search query isn't understood: only id in ('…', …) is"}
	text = strings.TrimSpace(text)
	if text == "" {
		return nil, nil
	}
	fields := strings.Fields(text)
	if len(fields) < 2 || !strings.EqualFold(fields[0], "id") {
		return nil, bad
	}
	rest := strings.TrimSpace(text[len(fields[0]):])
	if len(rest) < 2 || !strings.EqualFold(rest[:2], "in") {
		return nil, bad
	}
	rest, ok := strings.CutPrefix(strings.TrimSpace(rest[2:]), "(")
	if !ok {
		return nil, bad
	}
	wanted := map[string]bool{}
	for {
		value, after, ok := quoted(strings.TrimSpace(rest))
		if !ok {
			return nil, bad
		}
		wanted[value] = true
		after = strings.TrimSpace(after)
		switch {
		case strings.HasPrefix(after, ","):
			rest = after[1:]
		case after == ")":
			return wanted, nil
		default:
			return nil, bad
		}
	}
}

// quoted reads one string in single quotes; two stand for one.
func quoted(text string) (value, rest string, ok bool) {
	if !strings.HasPrefix(text, "'") {
		return "", "", false
	}
	text = text[1:]
	var b strings.Builder
	for {
		i := strings.IndexByte(text, '\'')
		if i < 0 {
			return "", "", false
		}
		b.WriteString(text[:i])
		text = text[i+1:]
		if !strings.HasPrefix(text, "'") {
			return b.String(), text, true
		}
		b.WriteByte('\'')
		text = text[1:]
	}
}
