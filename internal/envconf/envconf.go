// Package envconf reads configuration from environment variables into structs,
// and tells every problem at once, by the variable's name.
//
// A configuration is one struct with its defaults preset, `env` tags as
// github.com/caarlos0/env reads them, one struct per package nested with
// `envPrefix`, and a `help` tag per field. Where a nested struct's name for a
// variable does not suit the whole, `envRename:"OLD=NEW,…"` beside envPrefix
// gives it another. A variable set to the empty string counts as not set.
// Problems never repeat a variable's value, so that no secret reaches a log
// through a slip of the hand, such as a key in the wrong variable.
package envconf

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/caarlos0/env/v11"
)

// Problems is everything that is wrong with an environment.
type Problems struct {
	List []string // one line each, beginning with the variable's name
}

// Error returns one line per problem.
func (p *Problems) Error() string { return strings.Join(p.List, "\n") }

// Load fills cfg, a pointer to a struct that holds the defaults, from environ, a
// list of "NAME=value" as os.Environ gives it; of two entries with one name the
// last counts. Every variable's name begins with prefix, say "APP_".
//
// For each Secret variable X, X_FILE names a file to read instead; one trailing
// newline is cut, and setting both is a problem. A variable that begins with
// prefix and is not known is a problem, but for the {prefix}PORT… and
// {prefix}SERVICE_… that Kubernetes injects for a Service of that name.
//
// The error is a *Problems. Load panics on a struct that it cannot serve, such
// as two fields with one name: that is a defect of the program.
func Load(cfg any, environ []string, prefix string) error {
	l := &loader{cfg: cfg, prefix: prefix, environ: env.ToMap(environ), known: map[string]bool{}}
	for _, f := range fields(cfg, prefix) {
		l.field(f)
	}
	l.unknown()
	return asError(l.problems)
}

// Validate calls the Validate method of every struct nested in cfg, and not that
// of cfg itself, which is expected to call this. That struct knows its variables
// by the names in its tags: a line of its error that begins with one of them is
// given the full name, any other line is put under the prefix, and $NAME anywhere
// in a line becomes the full name of that variable of the struct.
func Validate(cfg any, prefix string) error {
	var problems []string
	for _, n := range nested(cfg, prefix) {
		v, ok := n.value.Addr().Interface().(interface{ Validate() error })
		if !ok {
			continue
		}
		if err := v.Validate(); err != nil {
			problems = append(problems, n.name(err)...)
		}
	}
	return asError(problems)
}

// Join merges problems, keeping their order and, of problems that begin with the
// same variable, those of the first error that names it: a value that could not
// be read is not worth validating. An error that is no *Problems counts as one.
func Join(errs ...error) error {
	var list []string
	named := map[string]bool{}
	for _, err := range errs {
		now := map[string]bool{}
		for _, line := range lines(err) {
			name, _, ok := strings.Cut(line, ": ")
			if ok && named[name] {
				continue
			}
			now[name] = true
			list = append(list, line)
		}
		maps.Copy(named, now)
	}
	return asError(list)
}

func lines(err error) []string {
	if err == nil {
		return nil
	}
	if p, ok := errors.AsType[*Problems](err); ok {
		return p.List
	}
	return []string{err.Error()}
}

func asError(problems []string) error {
	if len(problems) == 0 {
		return nil
	}
	return &Problems{List: problems}
}

type loader struct {
	cfg      any
	prefix   string
	environ  map[string]string
	known    map[string]bool
	problems []string
}

func (l *loader) problem(name, format string, args ...any) {
	l.problems = append(l.problems, name+": "+fmt.Sprintf(format, args...))
}

func (l *loader) field(f field) {
	l.known[f.name] = true
	value := l.environ[f.name]
	if f.secret() {
		l.known[f.fileName()] = true
		value = l.secret(f, value)
	}
	switch {
	case value != "":
		l.set(f, value)
	case f.required && l.environ[f.fileName()] == "":
		l.problem(f.name, "is required")
	}
}

// secret returns the value of a Secret, from its file if one is named.
func (l *loader) secret(f field, value string) string {
	path := l.environ[f.fileName()]
	if path == "" {
		return value
	}
	if value != "" {
		l.problem(f.fileName(), "is set beside %s: only one of them may be", f.name)
		return ""
	}
	content, err := readSecret(path)
	if err != nil {
		l.problem(f.fileName(), "%v", err)
		return ""
	}
	return content
}

// set parses one variable alone: the parser names Go fields in its errors, and
// in this way we know which variable an error is about.
func (l *loader) set(f field, value string) {
	err := env.ParseWithOptions(l.cfg, env.Options{
		Environment: map[string]string{f.key: value},
		Prefix:      l.prefix,
	})
	var all env.AggregateError
	if errors.As(err, &all) {
		for _, e := range all.Errors {
			if _, other := errors.AsType[env.VarIsNotSetError](e); !other {
				l.problem(f.name, "%s", f.wants(e))
			}
		}
	}
	if v := f.value; v.CanFloat() && !finite(v.Float()) {
		l.problem(f.name, "must be a finite number")
	}
}

// unknown refuses what nobody reads: a misspelled variable would otherwise be a
// setting silently ignored.
func (l *loader) unknown() {
	for _, name := range slices.Sorted(maps.Keys(l.environ)) {
		rest, ours := strings.CutPrefix(name, l.prefix)
		if !ours || l.known[name] || strings.HasPrefix(rest, "SERVICE_") ||
			rest == "PORT" || strings.HasPrefix(rest, "PORT_") {
			continue
		}
		l.problem(name, "is not a known variable")
	}
}
