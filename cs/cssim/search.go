package cssim

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"opfeed/cs"
)

// maxNesting bounds the parentheses of a search.
const maxNesting = 32

// condition decides about one object in the state that is shown of it.
type condition func(*object, state) bool

// searchOf reads what a list is asked for besides the page: the search, and
// whether the last id comes first.
func searchOf(r request) (search condition, descending bool, err error) {
	query := r.URL.Query()
	text, order := query.Get("search"), query.Get("order")
	if r.ref.Kind == cs.ExternalAuth && text+order != "" {
		return nil, false, &failure{http.StatusBadRequest, "External auths can't be searched or ordered"}
	}
	switch strings.ToLower(strings.Join(strings.Fields(order), " ")) {
	case "", "id", "id asc":
	case "id desc":
		descending = true
	default:
		return nil, false, &failure{http.StatusBadRequest, "The order isn't understood: only id asc and id desc are"}
	}
	search, err = parseSearch(r.ref.Kind, text)
	if err != nil {
		return nil, false, &failure{http.StatusBadRequest, "The search query isn't understood: " + err.Error()}
	}
	return search, descending, nil
}

// parseSearch understands a part of the language, which is like that of a where
// clause: field = 'x', field in ('x', …), and, or, parentheses. Fields are id,
// status (of credentials), and azure.… (of clusters).
func parseSearch(kind cs.Kind, text string) (condition, error) {
	words, err := wordsOf(text)
	if err != nil {
		return nil, err
	}
	if len(words) == 0 {
		return func(*object, state) bool { return true }, nil
	}
	p := searchParser{kind: kind, words: words}
	c, err := p.either(0)
	if err != nil {
		return nil, err
	}
	if len(p.words) > 0 {
		return nil, errors.New("there is more after its end")
	}
	return c, nil
}

// word is a token: punctuation, a name, or a string.
type word struct {
	text   string
	quoted bool
}

func wordsOf(text string) ([]word, error) {
	var words []word
	for {
		text = strings.TrimLeft(text, " \t\r\n")
		if text == "" {
			return words, nil
		}
		end := strings.IndexAny(text, " \t\r\n=(),'")
		switch {
		case text[0] == '\'':
			value, rest, ok := quoted(text)
			if !ok {
				return nil, errors.New("a string does not end")
			}
			words, text = append(words, word{value, true}), rest
			continue
		case end == 0:
			end = 1
		case end < 0:
			end = len(text)
		}
		words, text = append(words, word{text: text[:end]}), text[end:]
	}
}

type searchParser struct {
	kind  cs.Kind
	words []word // those to come
}

// take takes the next word if it is this one, in any casing.
func (p *searchParser) take(text string) bool {
	if len(p.words) == 0 || p.words[0].quoted || !strings.EqualFold(p.words[0].text, text) {
		return false
	}
	p.words = p.words[1:]
	return true
}

func (p *searchParser) either(depth int) (condition, error) {
	left, err := p.both(depth)
	for err == nil && p.take("or") {
		first := left
		var second condition
		second, err = p.both(depth)
		left = func(o *object, st state) bool { return first(o, st) || second(o, st) }
	}
	return left, err
}

func (p *searchParser) both(depth int) (condition, error) {
	left, err := p.single(depth)
	for err == nil && p.take("and") {
		first := left
		var second condition
		second, err = p.single(depth)
		left = func(o *object, st state) bool { return first(o, st) && second(o, st) }
	}
	return left, err
}

func (p *searchParser) single(depth int) (condition, error) {
	if depth > maxNesting {
		return nil, errors.New("it is nested too deeply")
	}
	if p.take("(") {
		inner, err := p.either(depth + 1)
		if err == nil && !p.take(")") {
			err = errors.New("a parenthesis is missing")
		}
		return inner, err
	}
	field, err := p.field()
	if err != nil {
		return nil, err
	}
	var values []string
	switch {
	case p.take("="):
		values, err = p.strings(false)
	case p.take("in") && p.take("("):
		if values, err = p.strings(true); err == nil && !p.take(")") {
			err = errors.New("a parenthesis is missing")
		}
	default:
		err = errors.New("after a field comes = or in (")
	}
	return func(o *object, st state) bool {
		value, ok := field(o, st)
		return ok && slices.Contains(values, value)
	}, err
}

// field gives what an object has there, if anything.
func (p *searchParser) field() (func(*object, state) (string, bool), error) {
	if len(p.words) == 0 || p.words[0].quoted {
		return nil, errors.New("a field is missing")
	}
	name := strings.ToLower(p.words[0].text)
	p.words = p.words[1:]
	inner, ofAzure := strings.CutPrefix(name, "azure.")
	switch {
	case name == "id":
		return func(o *object, _ state) (string, bool) { return idOf(o.ref), true }, nil
	case name == "status" && p.kind == cs.BreakGlassCredential:
		return func(_ *object, st state) (string, bool) { return st.name, true }, nil
	case ofAzure && inner != "" && p.kind == cs.Cluster:
		return func(o *object, _ state) (string, bool) {
			var azure map[string]any
			if json.Unmarshal(o.body["azure"], &azure) != nil {
				return "", false
			}
			value, ok := azure[inner].(string)
			return value, ok
		}, nil
	}
	return nil, errors.New("there is no such field here")
}

// strings takes one string, or several with commas between them.
func (p *searchParser) strings(several bool) ([]string, error) {
	var values []string
	for {
		if len(p.words) == 0 || !p.words[0].quoted {
			return nil, errors.New("a string is missing")
		}
		values = append(values, p.words[0].text)
		p.words = p.words[1:]
		if !several || !p.take(",") {
			return values, nil
		}
	}
}

// quoted reads one string in single quotes; two stand for one.
func quoted(text string) (value, rest string, ok bool) {
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
